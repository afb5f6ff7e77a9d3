// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <string>
#include <vector>

#include "runtime/early_exit.h"
#include "runtime/paged_model.h"
#include "runtime/proposer.h"
#include "runtime/run.h"

namespace dynexec {

// How to speculate. Without a proposer, the loop decodes plainly.
struct SpeculationParams {
    std::vector<ProposerParams> proposers;  // in order of preference
    float assistant_confidence_threshold = 0.0f;
    std::string lookahead = "auto";  // see make_lookahead
    size_t num_assistant_tokens = 31;
};

// The decode loop of all modes: schedule, run, decide, commit. A rollback only resets the length of a sequence. Thread
// safe: calls on one model take turns.
class DecodeLoop {
public:
    // `max_batch_tokens`: longest prompt chunk of one forward pass.
    DecodeLoop(PagedModel& target, size_t max_batch_tokens);

    // `memory`: the observations of proposers, which this call adds to. Throws std::invalid_argument for an empty
    // prompt or a token id outside the vocabulary. `early_exit`: nullptr for none. It excludes speculation.
    GenerationResult generate(const std::vector<SequenceRequest>& requests, const SpeculationParams& speculation,
                              SpeculationMemory& memory, const Hooks& hooks,
                              const EarlyExitParams* early_exit = nullptr);

private:
    void validate(const std::vector<SequenceRequest>& requests) const;

    PagedModel& target_;
    size_t max_batch_tokens_;
};

}  // namespace dynexec
