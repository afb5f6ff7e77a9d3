// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
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
    size_t prompt_rows = 0;            // of all slots
    std::vector<Sequence*> admitted;   // they begin to run in this step
    std::vector<Sequence*> preempted;  // they wait again, and start from their first token
    // It can never run: the whole cache has no room for its text.
    Sequence* too_long = nullptr;

    bool empty() const { return slots.empty(); }
    size_t decoding() const;  // number of slots that decode
};

// The room of a KV cache, as the scheduler sees it.
class CacheRoom {
public:
    virtual ~CacheRoom() = default;
    // Gives `table` room for `tokens` tokens, or returns false.
    virtual bool try_reserve(BlockTable& table, size_t tokens) = 0;
    // Number of blocks that can still be given out.
    virtual size_t free_blocks() const = 0;
    // Whether the cache has room for a text of `tokens` tokens if nothing else is in it.
    virtual bool could_hold(size_t tokens) const = 0;
};

// Decides which sequences share the next step. Sequences wait in the order in which they came. Those that run hold
// blocks of the cache; where it has no room for a next token, the one that came last gives its blocks back and waits
// again, in front of the others (preemption by recomputation, as in vLLM, arXiv 2309.06180).
class Scheduler {
public:
    // `max_batch_tokens`: maximum number of prompt tokens in one step; `max_beside_decoding`: if other sequences
    // decode, so that a long prompt does not keep them waiting. `max_running`: maximum number of sequences at once.
    Scheduler(size_t max_batch_tokens, size_t max_beside_decoding, size_t max_running)
        : max_batch_tokens_(max_batch_tokens), max_beside_decoding_(max_beside_decoding), max_running_(max_running) {}

    void add(Sequence& sequence) { waiting_.push_back(&sequence); }
    // A finished sequence, wherever it is.
    void remove(Sequence& sequence);

    // Decoding sequences run in every step. Prompts fill the step up, in the order in which they came. Drafts of the
    // previous step are dropped. `start` is called for each sequence that begins to run, and may give it blocks that
    // hold its first tokens already. The schedule is empty if nothing can run.
    Schedule next(CacheRoom& room, const std::function<void(Sequence&)>& start);

    const std::deque<Sequence*>& waiting() const { return waiting_; }
    const std::vector<Sequence*>& running() const { return running_; }

private:
    void decode(CacheRoom& room, Schedule& schedule);
    void prefill(CacheRoom& room, Schedule& schedule, const std::function<void(Sequence&)>& start);
    bool admit(Sequence& sequence, CacheRoom& room, const std::function<void(Sequence&)>& start) const;
    // The running sequence that came last, and that can be preempted; nullptr if there is none.
    Sequence* youngest() const;
    void preempt(Sequence& sequence, Schedule& schedule);

    size_t max_batch_tokens_;
    size_t max_beside_decoding_;
    size_t max_running_;
    std::deque<Sequence*> waiting_;
    std::vector<Sequence*> running_;  // in the order in which they came
};

}  // namespace dynexec
