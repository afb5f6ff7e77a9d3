// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace dynexec {

// A mutex that threads get in the order in which they asked for it. A thread that unlocks a std::mutex and locks it
// again at once, as a decode loop does between steps, can keep all others waiting for ever.
class FairMutex {
public:
    void lock() {
        std::unique_lock<std::mutex> lock(mutex_);
        const uint64_t ticket = next_++;
        called_.wait(lock, [&] { return ticket == now_; });
    }
    void unlock() {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            ++now_;
        }
        called_.notify_all();
    }

private:
    std::mutex mutex_;
    std::condition_variable called_;
    uint64_t next_ = 0;
    uint64_t now_ = 0;  // the ticket of whoever holds it, or may take it
};

}  // namespace dynexec
