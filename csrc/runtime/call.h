// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "fair_mutex.h"
#include "runtime/commit.h"
#include "runtime/drafting.h"
#include "runtime/early_exit.h"
#include "runtime/outbox.h"
#include "runtime/stats.h"
#include "timer.h"

namespace dynexec {

// How a call runs, apart from its requests.
struct CallParams {
    SpeculationParams speculation;
    std::shared_ptr<SpeculationMemory> memory;  // the observations of proposers; nullptr: those of this call only
    std::optional<EarlyExitParams> early_exit;  // excludes speculation
    bool callbacks = false;                     // whether the owner decides tokens: see Event::Kind::kDecide
    // How many of the first draft tokens of a sequence its processors would not exclude. Unlike other functions of
    // callers, it is called by the loop, before the tokens are verified, so it has to be fast.
    std::function<size_t(const Sequence& sequence)> count_allowed;
    bool streams = false;                       // whether the owner is told the tokens as they come
    std::optional<Clock::time_point> deadline;  // its sequences end then
};

// The sequences of one generate call. Those of several calls run in the same passes. Of the fields, only `cancelled`
// may be touched by another thread than that of the loop before the call is closed; a sequence that is being decided
// belongs to the thread that decides it.
struct Call : std::enable_shared_from_this<Call> {
    Call(std::vector<SequenceRequest> requests_, CallParams params_, const std::shared_ptr<Outbox>& outbox_,
         size_t num_segments);

    const uint64_t id;  // unique in the process
    const std::vector<SequenceRequest> requests;
    const CallParams params;
    // Of the owner. Events of a call hold the call, so the call does not hold them.
    const std::weak_ptr<Outbox> outbox;
    const std::vector<FairMutex*> mutexes;  // of the models and the memory that it uses, without the target
    std::deque<Sequence> sequences;         // of the requests
    std::shared_ptr<Drafting> drafting;     // without speculation, nullptr
    std::shared_ptr<EarlyExit> early_exit;  // without early exit, nullptr
    Stats stats;
    const Clock::time_point start = Clock::now();
    size_t unfinished = 0;  // number of sequences
    std::atomic<bool> cancelled{false};
    bool closed = false;
    std::exception_ptr error;

    // Tells the owner, if it still wants to know.
    void push(Event event) const;
};

}  // namespace dynexec
