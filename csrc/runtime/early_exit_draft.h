// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <vector>

#include "runtime/exit_head.h"
#include "runtime/head_drafts.h"

namespace dynexec {

// Proposes what an exit head of the target predicts (self-speculation: LayerSkip, arXiv 2404.16710). The first segments
// run token after token; the verification then runs the others on all of them at once, from where the first ones left
// off.
class EarlyExitDraft : public Proposer {
public:
    EarlyExitDraft(ExitHead& head, Backbone& backbone, size_t max_tokens, float confidence_threshold,
                   size_t num_sequences, HeadDrafts::Memory& memory);

    size_t offer(const Sequence& sequence, size_t limit) override;
    double acceptance(const Sequence& sequence, size_t position) const override;
    double seconds(const Sequence& sequence, size_t tokens) const override;
    void propose(const std::vector<Order>& orders) override;
    void committed(const Sequence& sequence, size_t n) override;

private:
    ExitHead& head_;
    Backbone& backbone_;
    HeadDrafts drafts_;
    size_t max_tokens_;
    std::vector<bool> proposed_;
};

}  // namespace dynexec
