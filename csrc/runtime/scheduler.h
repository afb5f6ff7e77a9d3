// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "runtime/sequence.h"

namespace dynexec {

// The sequences that share one step, and what each of them runs.
struct Schedule {
    struct Slot {
        Sequence* sequence;
        size_t prompt_rows;  // 0: the sequence decodes; otherwise the number of tokens of its prompt to run
    };
    std::vector<Slot> slots;
    size_t prompt_rows = 0;  // of all slots

    bool empty() const { return slots.empty(); }
};

// Owns the sequences of a run and decides which sequences share the next step.
class Scheduler {
public:
    // `num_segments`: number of segments of the target. `max_batch_tokens`: maximum number of prompt tokens in one
    // step.
    Scheduler(size_t num_segments, size_t max_batch_tokens)
        : num_segments_(num_segments), max_batch_tokens_(max_batch_tokens) {}

    // A sequence may join between any two steps. `request` must outlive it.
    Sequence& add(const SequenceRequest& request);

    // Decoding sequences run in every step. Prompts fill the step up to max_batch_tokens, in the order in which they
    // were added. Drafts of the previous step are dropped. The schedule is empty when all sequences are finished.
    Schedule next();

    const std::vector<std::unique_ptr<Sequence>>& sequences() const { return sequences_; }

private:
    size_t num_segments_;
    size_t max_batch_tokens_;
    std::vector<std::unique_ptr<Sequence>> sequences_;
};

}  // namespace dynexec
