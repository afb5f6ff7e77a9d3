// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <utility>

#include "check.h"
#include "runtime/scheduler.h"

using namespace dynexec;

namespace {

SequenceRequest request(size_t prompt, size_t max_new_tokens = 4) {
    SequenceRequest made;
    made.prompt.assign(prompt, 1);
    made.max_new_tokens = max_new_tokens;
    return made;
}

using Slots = std::vector<std::pair<size_t, size_t>>;  // sequence and prompt rows

Slots slots_of(const Schedule& schedule) {
    Slots slots;
    for (const auto& slot : schedule.slots) slots.emplace_back(slot.sequence->index, slot.prompt_rows);
    return slots;
}

// What a step does to the sequences of a schedule: prompts run, and every sequence that runs to its end gets a token.
void run(const Schedule& schedule) {
    for (const auto& slot : schedule.slots) {
        Sequence& sequence = *slot.sequence;
        sequence.segments.front().cached =
            slot.prompt_rows > 0 ? sequence.cached() + slot.prompt_rows : sequence.tokens.size();
        if (sequence.cached() < sequence.tokens.size()) continue;
        sequence.tokens.push_back(2);
        if (sequence.remaining() == 0) sequence.finish_reason = FinishReason::kLength;
    }
}

}  // namespace

TEST(prompts_fill_a_step_up) {
    Scheduler scheduler(1, 8);
    const SequenceRequest requests[] = {request(5), request(6), request(3)};
    for (const auto& made : requests) scheduler.add(made);
    Schedule schedule = scheduler.next();
    CHECK(slots_of(schedule) == Slots({{0, 5}, {1, 3}}));
    CHECK(schedule.prompt_rows == 8);
    run(schedule);
    schedule = scheduler.next();
    CHECK(slots_of(schedule) == Slots({{0, 0}, {1, 3}, {2, 3}}));
    CHECK(schedule.prompt_rows == 6);
}

TEST(sequences_join_between_steps_and_leave_when_they_are_finished) {
    Scheduler scheduler(1, 8);
    const SequenceRequest first = request(2, 2), second = request(3, 1), nothing = request(1, 0);
    scheduler.add(first);
    run(scheduler.next());
    scheduler.add(second);
    CHECK(scheduler.add(nothing).finish_reason == FinishReason::kLength);
    Schedule schedule = scheduler.next();
    CHECK(slots_of(schedule) == Slots({{0, 0}, {1, 3}}));
    run(schedule);
    CHECK(scheduler.next().empty());
    CHECK(scheduler.sequences().size() == 3);
}

TEST(drafts_of_the_step_before_are_dropped) {
    Scheduler scheduler(1, 8);
    const SequenceRequest made = request(2);
    Sequence& sequence = scheduler.add(made);
    run(scheduler.next());
    sequence.draft.tokens = sequence.ahead = {7};
    scheduler.next();
    CHECK(sequence.draft.tokens.empty());
    CHECK(sequence.ahead.empty());
}
