// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/cost_model.h"
#include "runtime/proposer.h"
#include "runtime/row_limits.h"
#include "runtime/speculation_memory.h"

namespace dynexec {

// Decides, step by step, which proposer drafts how many tokens for which sequence. A new lookahead is a subclass in
// its own file and a line in the registry of lookahead.cpp.
class Lookahead {
public:
    virtual ~Lookahead() = default;

    struct Candidate {
        Sequence* sequence;
        size_t limit;  // largest useful number of draft tokens
    };
    struct Plan {
        Sequence* sequence;
        Proposer* proposer;
        size_t tokens;             // > 0
        double least_reach = 0.0;  // see Proposer::Order
        bool learned_stop = false;
    };
    struct Step {
        std::vector<Plan> plans;  // sequences without one decode plainly
        size_t rows = 0;          // tokens to pad the forward pass to; 0: no padding
    };
    // What shares the forward pass with the candidates.
    struct Others {
        size_t prompt_rows = 0;
        size_t sequences = 0;  // that decode, and that this lookahead does not plan for
    };
    // One step: `candidates` are the decoding sequences.
    virtual Step plan(const std::vector<Candidate>& candidates, const Others& others) = 0;

    // Revises the latest plan after the drafts are made and before they are verified. A draft may be shortened or
    // replaced, unless its tokens were sampled: dropping a sampled token because of its value would change the
    // distribution of the output.
    virtual void settle(Step& step) { static_cast<void>(step); }

    // The longest draft that it may order.
    virtual size_t longest_draft() const = 0;

    // The outcome of a plan.
    virtual void observe(const Sequence& sequence, size_t proposed, size_t accepted) = 0;

    // A sequence has ended, or starts again.
    virtual void release(const Sequence& sequence) { static_cast<void>(sequence); }
};

struct LookaheadContext {
    std::vector<std::unique_ptr<Proposer>>& proposers;  // in order of preference
    const CostModel& cost;                              // of the target
    size_t num_tokens;                                  // longest draft, or the length itself for "constant"
    SpeculationMemory& memory;
    RowLimits limits{};  // of the target
};

// See the registry in lookahead.cpp; transformers calls them num_assistant_tokens_schedule. Throws
// std::invalid_argument for another name.
std::unique_ptr<Lookahead> make_lookahead(const std::string& name, const LookaheadContext& context);
std::vector<std::string> lookahead_names();

}  // namespace dynexec
