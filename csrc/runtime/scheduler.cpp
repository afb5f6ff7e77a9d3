// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/scheduler.h"

#include <algorithm>

namespace dynexec {

Sequence& Scheduler::add(const SequenceRequest& request) {
    auto& sequence = sequences_.emplace_back(std::make_unique<Sequence>(sequences_.size(), request, num_segments_));
    if (request.max_new_tokens == 0) sequence->finish_reason = FinishReason::kLength;
    return *sequence;
}

Schedule Scheduler::next() {
    Schedule schedule;
    for (const auto& sequence : sequences_) {
        if (sequence->finished()) continue;
        sequence->draft.clear();
        sequence->ahead.clear();
        if (sequence->decoding()) {
            schedule.slots.push_back({sequence.get(), 0});
            continue;
        }
        const size_t rows =
            std::min(sequence->tokens.size() - sequence->cached(), max_batch_tokens_ - schedule.prompt_rows);
        if (rows == 0) continue;
        schedule.prompt_rows += rows;
        schedule.slots.push_back({sequence.get(), rows});
    }
    return schedule;
}

}  // namespace dynexec
