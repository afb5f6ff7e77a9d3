// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <functional>
#include <vector>

#include "runtime/backbone.h"
#include "runtime/scheduler.h"
#include "runtime/stats.h"
#include "timer.h"

namespace dynexec {

// Hooks into a run. A hook that is not set costs nothing. Hooks may throw: then the run ends, its cache blocks are
// released and the exception reaches the caller of DecodeLoop::generate().
struct Hooks {
    // Rewrites the [vocab] logits of the next token of `sequence` in place.
    std::function<void(const Sequence& sequence, float* logits, size_t vocab)> process_logits;
    // Called after every token. If it returns true, the sequence ends with that token.
    std::function<bool(const Sequence& sequence)> should_stop;
    // Called when `n` tokens have been appended to `sequence`.
    std::function<void(const Sequence& sequence, size_t n)> on_tokens;
    // Called between steps, at most every 50 ms, for example to notice an interrupt.
    std::function<void()> poll;
};

struct GenerationResult {
    std::vector<std::vector<int64_t>> tokens;  // generated tokens of each request
    std::vector<FinishReason> finish_reasons;
    Stats stats;
};

// Sequences that are generated together, step by step: schedule, run, decide, commit. A subclass defines how a
// schedule is run and which logits decide. Scheduling, committing and the statistics are the same for all.
class Run {
public:
    Run(Backbone& backbone, size_t max_batch_tokens, const Hooks& hooks, const std::vector<SequenceRequest>& requests);
    virtual ~Run() = default;
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;

    // Makes one step. Returns false if every sequence was already finished.
    bool step();
    // Makes steps until every sequence is finished.
    GenerationResult finish();

protected:
    // The tokens that a sequence has taken in a step.
    struct Committed {
        size_t drafted = 0;
        size_t accepted = 0;
        size_t tokens = 0;
    };

    // Runs the tokens of the schedule and commits what follows them.
    virtual void run(const Schedule& schedule) = 0;

    // Takes tokens from `rows`, [1 + draft tokens, vocab], until a token differs from the draft, the rows end or the
    // sequence ends. The rows are overwritten.
    Committed commit(Sequence& sequence, float* rows);
    // The statistic that the seconds of a pass of the target are added to.
    double& run_seconds(const Schedule& schedule) {
        return schedule.prompt_rows > 0 ? stats_.prefill_seconds : stats_.run_seconds;
    }

    Backbone& backbone_;
    PagedModel& target_;
    Stats stats_;

private:
    void append(Sequence& sequence, int64_t token);
    void record(const Committed& committed);
    GenerationResult result();

    const Hooks& hooks_;
    Scheduler scheduler_;
    const Clock::time_point start_ = Clock::now();
};

}  // namespace dynexec
