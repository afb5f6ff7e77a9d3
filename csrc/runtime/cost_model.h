// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace dynexec {

// Seconds that a forward pass of n tokens takes after another of n tokens, from measured points, linear between and
// beyond them.
class CostModel {
public:
    // (rows, seconds) pairs, rows strictly increasing. Times are made non-decreasing: a longer pass that was timed
    // faster is noise.
    void set(std::vector<std::pair<size_t, double>> points);
    bool measured() const { return !points_.empty(); }
    double seconds(size_t rows) const;  // throws std::logic_error before set()
    const std::vector<std::pair<size_t, double>>& points() const { return points_; }

    // What a pass takes on top when it has another number of tokens than the one before it: the runtime then infers
    // shapes and picks kernels anew in every node.
    void set_switch_seconds(double seconds) { switch_seconds_ = seconds; }
    double switch_seconds() const { return switch_seconds_; }

private:
    std::vector<std::pair<size_t, double>> points_;
    double switch_seconds_ = 0.0;
};

}  // namespace dynexec
