// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <chrono>

namespace dynexec {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// Adds the seconds from its construction to its destruction to `total`.
class Timer {
public:
    explicit Timer(double& total) : total_(total) {}
    ~Timer() { total_ += seconds_since(start_); }
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

private:
    double& total_;
    Clock::time_point start_ = Clock::now();
};

}  // namespace dynexec
