// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/scheduler.h"

#include <algorithm>

namespace dynexec {

size_t Schedule::decoding() const {
    return static_cast<size_t>(
        std::count_if(slots.begin(), slots.end(), [](const Slot& slot) { return slot.prompt_rows == 0; }));
}

void Scheduler::remove(Sequence& sequence) {
    waiting_.erase(std::remove(waiting_.begin(), waiting_.end(), &sequence), waiting_.end());
    running_.erase(std::remove(running_.begin(), running_.end(), &sequence), running_.end());
}

Schedule Scheduler::next(CacheRoom& room, const std::function<void(Sequence&)>& start) {
    Schedule schedule;
    for (Sequence* sequence : running_) {
        // The callbacks that decide a sequence still need its draft.
        if (sequence->deciding) continue;
        sequence->draft.clear();
        sequence->ahead.clear();
    }
    decode(room, schedule);
    if (schedule.too_long == nullptr) prefill(room, schedule, start);
    return schedule;
}

void Scheduler::decode(CacheRoom& room, Schedule& schedule) {
    for (size_t i = 0; i < running_.size(); ++i) {
        Sequence& sequence = *running_[i];
        if (sequence.deciding || !sequence.decoding()) continue;
        // Whoever is preempted came later, so it has no slot yet.
        while (!room.try_reserve(sequence.table, sequence.tokens.size())) {
            Sequence* const last = youngest();
            if (last == &sequence && !room.could_hold(sequence.tokens.size())) {
                schedule.too_long = &sequence;
                return;
            }
            preempt(*last, schedule);
            if (last == &sequence) return;
        }
        schedule.slots.push_back({&sequence, 0});
    }
}

void Scheduler::prefill(CacheRoom& room, Schedule& schedule, const std::function<void(Sequence&)>& start) {
    const size_t most = schedule.empty() ? max_batch_tokens_ : std::min(max_batch_tokens_, max_beside_decoding_);
    const auto add = [&](Sequence& sequence) {
        const size_t rows = std::min(sequence.tokens.size() - sequence.cached(), most - schedule.prompt_rows);
        if (rows == 0) return;
        schedule.prompt_rows += rows;
        schedule.slots.push_back({&sequence, rows});
    };
    for (Sequence* sequence : running_) {
        if (!sequence->deciding && !sequence->decoding()) add(*sequence);
    }
    while (!waiting_.empty() && running_.size() < max_running_ && schedule.prompt_rows < most) {
        Sequence& sequence = *waiting_.front();
        if (!admit(sequence, room, start)) {
            if (!room.could_hold(sequence.tokens.size())) schedule.too_long = &sequence;
            return;
        }
        waiting_.pop_front();
        running_.push_back(&sequence);
        schedule.admitted.push_back(&sequence);
        // A text of one token has nothing to run before its first step.
        if (sequence.decoding()) {
            schedule.slots.push_back({&sequence, 0});
        } else {
            add(sequence);
        }
    }
}

bool Scheduler::admit(Sequence& sequence, CacheRoom& room, const std::function<void(Sequence&)>& start) const {
    start(sequence);
    // Each sequence that runs may soon need another block: what is admitted now should not be preempted at once.
    if (room.try_reserve(sequence.table, sequence.tokens.size()) && room.free_blocks() >= running_.size()) return true;
    sequence.restart();
    return false;
}

Sequence* Scheduler::youngest() const {
    const auto found =
        std::find_if(running_.rbegin(), running_.rend(), [](const Sequence* sequence) { return !sequence->deciding; });
    return found == running_.rend() ? nullptr : *found;
}

void Scheduler::preempt(Sequence& sequence, Schedule& schedule) {
    sequence.restart();
    running_.erase(std::find(running_.begin(), running_.end(), &sequence));
    waiting_.push_front(&sequence);
    schedule.preempted.push_back(&sequence);
}

}  // namespace dynexec
