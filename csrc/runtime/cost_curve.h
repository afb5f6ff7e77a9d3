// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace dynexec {

// Seconds that a pass of n tokens takes: measured beforehand for some row counts, linear between and beyond them, and
// then updated by every pass that runs. A pass that is much longer than the longest one so far becomes a point too: the
// profile of a large model is cut short.
//
// The logarithm of a point is the sum of a level that is common to all points (how busy the machine is) and a level of
// its own. The same holds for the switch. Levels are random walks, and each pass is a noisy observation of them: a
// Kalman filter. The common level moves faster, so a row count that has not run lately follows the row counts that
// have.
class CostCurve {
public:
    // (rows, seconds) pairs, rows strictly increasing, and the additional time of a pass with another number of tokens
    // than the previous pass: the runtime then infers shapes and selects kernels again in every node. Times are made
    // non-decreasing, because a shorter time for a longer pass is noise. `doubt`: the standard deviation of the
    // logarithm of a measured time.
    void set(std::vector<std::pair<size_t, double>> points, double switch_seconds, double doubt = kMostDoubt);
    bool measured() const { return !rows_.empty(); }

    // A pass of `rows` tokens took `seconds`. `switched`: the previous pass had another number of tokens.
    void observe(size_t rows, bool switched, double seconds);

    // Time has passed without a pass. Meanwhile, the logarithm of the times of other models has changed by `change`.
    void shift(double change);
    // The logarithm of how much slower the machine is than when the points were measured.
    double level() const { return mean_.empty() ? 0.0 : mean_.back(); }

    // The time to plan with. For a row count that has not run lately, this is the shortest plausible time. If the row
    // count is then tried, its time is measured. Throws std::logic_error before set().
    double seconds(size_t rows) const;
    double switch_seconds() const { return planned_switch_; }

    // The most probable times, (rows, seconds).
    std::vector<std::pair<size_t, double>> points() const;

    static constexpr double kLeastDoubt = 0.12;
    static constexpr double kMostDoubt = 0.6;

private:
    // seconds(rows) == (1 - weight) * values[left] + weight * values[left + 1].
    struct Place {
        size_t left;
        double weight;
    };
    Place place_of(size_t rows) const;
    double interpolate(const std::vector<double>& values, size_t rows) const;
    void add_point(size_t rows, double seconds);
    // exp of the mean of the sum of a level and the common level.
    double believed(size_t level) const;
    double variance(size_t level) const;  // of the sum of a level and the common level
    double& covariance(size_t i, size_t j) { return covariance_[i * mean_.size() + j]; }
    double covariance(size_t i, size_t j) const { return covariance_[i * mean_.size() + j]; }
    void drift();
    void plan();

    std::vector<size_t> rows_;
    // The levels: one for each point, then the level of the switch, then the common level.
    std::vector<double> mean_;
    std::vector<double> covariance_;
    std::vector<bool> known_;  // whether a pass of this size has run; the first one compiles its kernels
    std::vector<double> planned_;
    double planned_switch_ = 0.0;
};

}  // namespace dynexec
