// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace dynexec {

struct ProposerStats {
    std::string name;
    size_t proposed = 0;
    size_t accepted = 0;
    size_t forwards = 0;  // forward passes of the proposer's own model
};

// Statistics of one call. Times are wall-clock seconds; passes that other calls share count fully.
struct Stats {
    size_t sequences = 0;
    size_t prompt_tokens = 0;
    size_t cached_tokens = 0;  // tokens of the prompts that were found in the prefix cache
    size_t tokens = 0;         // generated
    size_t target_forwards = 0;
    size_t prefill_forwards = 0;       // number of target_forwards with prompt tokens
    size_t verifications = 0;          // (sequence, forward) pairs that gave at least one token
    size_t drafted_verifications = 0;  // number of these pairs with a draft
    std::vector<size_t>
        accepted_histogram;  // [k]: number of drafted verifications that accepted exactly k draft tokens
    // With early exit: number of tokens that exited after each segment; the last segment is the full model.
    std::vector<std::pair<size_t, size_t>> exit_histogram;
    std::vector<ProposerStats> proposers;
    double total_seconds = 0.0;
    double prefill_seconds = 0.0;  // in forward passes with prompt tokens
    double propose_seconds = 0.0;
    double run_seconds = 0.0;        // in the other forward passes of the target
    double exit_head_seconds = 0.0;  // with early exit: in the exit heads
    double decide_seconds = 0.0;
    double time_to_first_token = 0.0;
};

// Statistics of a decode loop since it was made, and what it holds now.
struct LoopStats {
    size_t running = 0;         // sequences
    size_t waiting = 0;         // sequences
    size_t steps = 0;           // forward passes of the target that calls have shared
    size_t tokens = 0;          // generated
    size_t preemptions = 0;     // of sequences, for want of room in the KV cache
    size_t prefix_queries = 0;  // tokens that were looked for in the prefix cache
    size_t prefix_hits = 0;     // tokens that were found there
    size_t used_blocks = 0;     // of the KV cache of the target, after the latest step
};

}  // namespace dynexec
