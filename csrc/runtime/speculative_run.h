// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <memory>
#include <vector>

#include "runtime/lookahead.h"
#include "runtime/run.h"

namespace dynexec {

// Speculative decoding: before a step runs, proposers draft the next tokens. One pass of the target verifies all
// drafts. Without proposers, this is plain decoding.
class SpeculativeRun : public Run {
public:
    struct Drafting {
        const std::vector<std::unique_ptr<Proposer>>& proposers;
        Lookahead* lookahead;           // nullptr if there are no proposers
        std::vector<CostModel*> costs;  // time of the models that draft, without the target
    };
    SpeculativeRun(Backbone& backbone, size_t max_batch_tokens, const Hooks& hooks,
                   const std::vector<SequenceRequest>& requests, Drafting drafting);

protected:
    void run(const Schedule& schedule) override;

private:
    void propose(const Schedule& schedule);
    // One pass of the target. Returns the logits of the last token and the draft of each decoding sequence, and of the
    // last token of each prompt.
    float* forward(const Schedule& schedule);
    void decide(const Schedule& schedule, float* rows);
    void take(Sequence& sequence, float* rows);
    // Shows the proposers the hidden states of the `n` tokens from index `first` on.
    void show(const Sequence& sequence, size_t first, const float* hidden_states, size_t n);

    // The costs of drafts follow the cost of the target.
    void follow();

    Drafting drafting_;
    Lookahead::Step plan_;
};

}  // namespace dynexec
