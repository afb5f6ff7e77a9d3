// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <algorithm>
#include <deque>
#include <random>
#include <utility>

#include "check.h"
#include "runtime/scheduler.h"

using namespace dynexec;

namespace {

constexpr size_t kBlock = 4;

// A cache with room for a number of blocks, and sequences that run in it.
struct Scene : CacheRoom {
    Scene(size_t blocks, size_t max_batch_tokens, size_t max_beside_decoding = 100, size_t max_running = 100)
        : scheduler(max_batch_tokens, max_beside_decoding, max_running) {
        pool.grow(blocks);
    }

    bool try_reserve(BlockTable& table, size_t tokens) override {
        if (pool.blocks_for(tokens) > table.blocks().size() + pool.available()) return false;
        table.reserve(pool, tokens);
        return true;
    }
    size_t free_blocks() const override { return pool.available(); }
    bool could_hold(size_t tokens) const override { return pool.blocks_for(tokens) <= pool.capacity(); }

    Sequence& add(size_t prompt, size_t max_new_tokens = 4) {
        requests.emplace_back();
        requests.back().prompt.assign(prompt, 1);
        requests.back().max_new_tokens = max_new_tokens;
        Sequence& sequence = sequences.emplace_back(sequences.size(), requests.back());
        scheduler.add(sequence);
        return sequence;
    }

    Schedule next() {
        return scheduler.next(*this, [this](Sequence& sequence) { begun.push_back(sequence.index); });
    }

    // What a step does to the sequences of a schedule: prompts run, and every sequence that runs to its end gets a
    // token.
    void run(const Schedule& schedule) {
        for (const auto& slot : schedule.slots) {
            Sequence& sequence = *slot.sequence;
            sequence.segments.front().cached =
                slot.prompt_rows > 0 ? sequence.cached() + slot.prompt_rows : sequence.tokens.size();
            CHECK(sequence.cached() <= kBlock * sequence.table.blocks().size());
            if (sequence.cached() < sequence.tokens.size()) continue;
            sequence.tokens.push_back(2);
            if (sequence.remaining() > 0) continue;
            sequence.finish_reason = FinishReason::kLength;
            scheduler.remove(sequence);
            sequence.table.clear();
        }
    }

    BlockPool pool{kBlock};
    std::deque<SequenceRequest> requests;
    std::deque<Sequence> sequences;
    Scheduler scheduler;
    std::vector<size_t> begun;
};

using Slots = std::vector<std::pair<size_t, size_t>>;  // sequence and prompt rows

Slots slots_of(const Schedule& schedule) {
    Slots slots;
    for (const auto& slot : schedule.slots) slots.emplace_back(slot.sequence->index, slot.prompt_rows);
    return slots;
}

}  // namespace

TEST(prompts_fill_a_step_up) {
    Scene scene(100, 8);
    for (const size_t prompt : {5, 6, 3}) scene.add(prompt);
    Schedule schedule = scene.next();
    CHECK(slots_of(schedule) == Slots({{0, 5}, {1, 3}}));
    CHECK(schedule.prompt_rows == 8);
    scene.run(schedule);
    schedule = scene.next();
    CHECK(slots_of(schedule) == Slots({{0, 0}, {1, 3}, {2, 3}}));
    CHECK(schedule.prompt_rows == 6);
    CHECK(schedule.decoding() == 1);
}

TEST(a_long_prompt_does_not_keep_those_that_decode_waiting) {
    Scene scene(100, 8, 2);
    scene.add(4, 9);
    scene.run(scene.next());
    scene.add(7);
    CHECK(slots_of(scene.next()) == Slots({{0, 0}, {1, 2}}));
}

TEST(sequences_join_between_steps_and_leave_when_they_are_finished) {
    Scene scene(100, 8);
    scene.add(2, 2);
    scene.run(scene.next());
    scene.add(3, 1);
    const Schedule schedule = scene.next();
    CHECK(slots_of(schedule) == Slots({{0, 0}, {1, 3}}));
    scene.run(schedule);
    CHECK(scene.next().empty());
    CHECK(scene.scheduler.running().empty() && scene.scheduler.waiting().empty());
    CHECK(scene.pool.available() == scene.pool.capacity());
}

TEST(no_more_run_than_may) {
    Scene scene(100, 100, 100, 2);
    for (size_t i = 0; i < 3; ++i) scene.add(2, i == 0 ? 1 : 3);
    Schedule schedule = scene.next();
    CHECK(slots_of(schedule) == Slots({{0, 2}, {1, 2}}));
    scene.run(schedule);
    CHECK(slots_of(scene.next()) == Slots({{1, 0}, {2, 2}}));
}

TEST(drafts_of_the_step_before_are_dropped_unless_they_are_being_decided) {
    Scene scene(100, 8);
    Sequence& sequence = scene.add(2);
    Sequence& decided = scene.add(2);
    scene.run(scene.next());
    for (Sequence* one : {&sequence, &decided}) one->draft.tokens = one->ahead = {7};
    decided.deciding = true;
    CHECK(slots_of(scene.next()) == Slots({{0, 0}}));
    CHECK(sequence.draft.tokens.empty());
    CHECK(sequence.ahead.empty());
    CHECK(decided.draft.tokens.size() == 1);
}

TEST(what_has_no_room_waits_and_those_that_came_later_do_not_overtake_it) {
    Scene scene(4, 100);
    scene.add(8, 4);   // 2 blocks, and a third one for its output
    scene.add(12, 4);  // 3 blocks
    scene.add(1, 1);
    Schedule schedule = scene.next();
    CHECK(slots_of(schedule) == Slots({{0, 8}}));
    for (int step = 0; step < 4; ++step) {
        scene.run(schedule);
        schedule = scene.next();
    }
    CHECK(slots_of(schedule) == Slots({{1, 12}}));
}

TEST(the_youngest_gives_its_blocks_back_and_starts_again) {
    Scene scene(4, 100);
    Sequence& old = scene.add(4, 12);
    Sequence& young = scene.add(4, 12);
    scene.add(1, 1);  // does not overtake it
    Schedule schedule = scene.next();
    // Both run, until their third blocks would be the fifth of the cache.
    while (schedule.preempted.empty()) {
        CHECK(schedule.slots.size() == 2);
        scene.run(schedule);
        schedule = scene.next();
    }
    CHECK(schedule.preempted == std::vector<Sequence*>({&young}));
    CHECK(slots_of(schedule) == Slots({{0, 0}}));
    CHECK(young.cached() == 0 && young.table.blocks().empty());
    const size_t generated = young.generated();
    CHECK(generated > 0);
    while (!old.finished()) {
        scene.run(schedule);
        schedule = scene.next();
    }
    // All of its text is run again, in one chunk.
    CHECK(slots_of(schedule).front() == std::make_pair(size_t{1}, 4 + generated));
    while (!young.finished()) {
        scene.run(schedule);
        schedule = scene.next();
    }
    CHECK(young.generated() == 12);
}

TEST(a_text_for_which_the_whole_cache_has_no_room_is_named) {
    Scene scene(2, 100);
    Sequence& prompt = scene.add(9);
    CHECK(scene.next().too_long == &prompt);
    scene.scheduler.remove(prompt);
    Sequence& output = scene.add(6, 9);
    Schedule schedule = scene.next();
    while (schedule.too_long == nullptr) {
        scene.run(schedule);
        schedule = scene.next();
    }
    CHECK(schedule.too_long == &output);
    CHECK(output.tokens.size() == 9);
}

TEST(what_others_hold_is_waited_for) {
    Scene scene(4, 100);
    BlockTable of_another;
    of_another.reserve(scene.pool, 3 * kBlock);
    Sequence& sequence = scene.add(6, 9);
    CHECK(scene.next().empty());
    CHECK(scene.scheduler.waiting().size() == 1);
    of_another.clear();
    Schedule schedule = scene.next();
    CHECK(slots_of(schedule) == Slots({{0, 6}}));
    scene.run(schedule);
    of_another.reserve(scene.pool, 2 * kBlock);
    while (!(schedule = scene.next()).empty()) scene.run(schedule);
    // The ninth token has no room, so the sequence waits again.
    CHECK(schedule.too_long == nullptr && schedule.preempted.size() == 1);
    of_another.clear();
    while (!sequence.finished()) scene.run(scene.next());
}

// Whatever comes in whatever order, everything ends, in a cache of any size that has room for each of them alone.
TEST(everything_ends) {
    std::mt19937 random(0);
    const auto draw = [&](size_t least, size_t most) { return least + random() % (most - least + 1); };
    for (int round = 0; round < 300; ++round) {
        Scene scene(draw(6, 14), draw(1, 20), draw(1, 6), draw(1, 5));
        size_t steps = 0, idle = 0;
        for (size_t left = draw(1, 12);
             left > 0 || !scene.scheduler.running().empty() || !scene.scheduler.waiting().empty();) {
            if (left > 0 && draw(0, 2) == 0) {
                const size_t prompt = draw(1, 14);
                scene.add(prompt, draw(1, 22 - prompt));
                --left;
            }
            const Schedule schedule = scene.next();
            CHECK(schedule.too_long == nullptr);
            idle = schedule.empty() ? idle + 1 : 0;
            CHECK(idle < 100);
            CHECK(schedule.slots.size() <= scene.scheduler.running().size());
            scene.run(schedule);
            CHECK(++steps < 5000);
        }
        CHECK(scene.pool.available() == scene.pool.capacity());
    }
}
