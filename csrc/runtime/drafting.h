// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "runtime/commit.h"
#include "runtime/lookahead.h"
#include "runtime/proposer.h"
#include "runtime/stats.h"

namespace dynexec {

// How to speculate. Without a proposer, sequences decode plainly.
struct SpeculationParams {
    std::vector<ProposerParams> proposers;  // in order of preference
    float assistant_confidence_threshold = 0.0f;
    std::string lookahead = "auto";  // see make_lookahead
    size_t num_assistant_tokens = 31;
};
bool operator==(const SpeculationParams& a, const SpeculationParams& b);
// The models of the proposers. A model that drafts for itself is one of them.
std::set<PagedModel*> models_of(const SpeculationParams& params);

// The proposers of all calls that speculate in the same way with the same memory, and the lookahead that decides which
// of them drafts how many tokens.
class Drafting {
public:
    // Throws std::invalid_argument if the parameters do not fit each other or the target.
    Drafting(const SpeculationParams& params, std::shared_ptr<SpeculationMemory> memory, Backbone& backbone,
             size_t max_batch_tokens);

    bool is(const SpeculationParams& params, const SpeculationMemory* memory) const;
    bool needs_whole_text() const;
    // Of each proposer, its own passes so far, and no tokens.
    std::vector<ProposerStats> stats() const;

    // A call begins.
    void begin();
    // A sequence begins to run.
    void begin(const Sequence& sequence);
    // Drafts for the candidates. Returns the number of rows to fill the pass up to, or 0.
    size_t propose(const std::vector<Lookahead::Candidate>& candidates, const Lookahead::Others& others);
    // A sequence has taken tokens. `stats`: of its call, for each proposer.
    void committed(const Sequence& sequence, const Committed& committed, std::vector<ProposerStats>& stats);
    // The target has run the `n` tokens from index `first` on, with these hidden states.
    void saw(const Sequence& sequence, size_t first, const float* hidden_states, size_t n);
    // A sequence has ended, or starts again.
    void release(const Sequence& sequence);

private:
    // The costs of drafts follow the cost of the target.
    void follow();

    const SpeculationParams params_;
    const std::shared_ptr<SpeculationMemory> memory_;
    const PagedModel& target_;
    std::set<PagedModel*> models_;
    std::vector<std::unique_ptr<Proposer>> proposers_;
    std::unique_ptr<Lookahead> lookahead_;
};

}  // namespace dynexec
