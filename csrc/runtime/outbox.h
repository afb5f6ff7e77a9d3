// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "runtime/sequence.h"

namespace dynexec {

// What happened to a call, for whoever waits for it.
struct Event {
    enum class Kind {
        kTokens,  // tokens were appended to a sequence
        kDecide,  // callbacks must decide the next token of a sequence: see DecodeLoop::answer
        kClosed,  // the call has ended, and the loop no longer touches it
    };
    std::shared_ptr<Call> call;
    Kind kind;
    Sequence* sequence = nullptr;                      // of kTokens and kDecide
    std::vector<int64_t> tokens{};                     // of kTokens
    std::vector<Logprobs> logprobs{};                  // of these tokens, if the request wants them
    FinishReason finish_reason = FinishReason::kNone;  // of kTokens: whether the sequence has ended, and why
    std::shared_ptr<Handover> handover{};              // of kDecide
    std::exception_ptr error{};                        // of kClosed
};

// The events of one or more calls, on their way from the thread of the loop to another thread.
class Outbox {
public:
    void push(Event event) {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            events_.push_back(std::move(event));
        }
        pushed_.notify_one();
    }

    // All events so far. Waits for the first one, but not longer than `timeout`.
    std::vector<Event> take(std::chrono::milliseconds timeout) {
        std::unique_lock<std::mutex> lock(mutex_);
        pushed_.wait_for(lock, timeout, [this] { return !events_.empty(); });
        return std::exchange(events_, {});
    }

private:
    std::mutex mutex_;
    std::condition_variable pushed_;
    std::vector<Event> events_;
};

}  // namespace dynexec
