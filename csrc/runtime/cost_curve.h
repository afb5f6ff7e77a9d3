// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace dynexec {

// Seconds that a pass of n tokens takes: measured beforehand for some row counts, linear between and beyond them, and
// followed ever after by the passes that run.
//
// The logarithm of a point is the sum of a level that is common to all of them (how busy the machine is) and one of its
// own; so is that of the switch. Levels are random walks, of which each pass is a noisy observation: a Kalman filter.
// The common level moves faster, so a row count that has not run lately follows those that have.
class CostCurve {
public:
    // (rows, seconds) pairs, rows strictly increasing, and what a pass takes on top when it has another number of
    // tokens than the one before it: the runtime then infers shapes and picks kernels anew in every node.
    // Times are made non-decreasing: a longer pass that was timed faster is noise. `doubt`: the standard deviation of
    // the logarithm of a measured time.
    void set(std::vector<std::pair<size_t, double>> points, double switch_seconds, double doubt = kMostDoubt);
    bool measured() const { return !rows_.empty(); }

    // A pass of `rows` tokens took `seconds`. `switched`: the one before it had another number of tokens.
    void observe(size_t rows, bool switched, double seconds);

    // Time has passed without a pass, in which the logarithm of what other models take has moved by `change`.
    void shift(double change);
    // The logarithm of how much slower the machine is than when the points were measured.
    double level() const { return mean_.empty() ? 0.0 : mean_.back(); }

    // What to plan with. A row count that has not run lately is taken to be as fast as it may well be: if that makes
    // it worth a try, the try tells. Throws std::logic_error before set().
    double seconds(size_t rows) const;
    double switch_seconds() const { return planned_switch_; }

    // What is believed most, (rows, seconds).
    std::vector<std::pair<size_t, double>> points() const;

    static constexpr double kLeastDoubt = 0.2;
    static constexpr double kMostDoubt = 0.6;

private:
    // seconds(rows) == (1 - weight) * values[left] + weight * values[left + 1].
    struct Place {
        size_t left;
        double weight;
    };
    Place place_of(size_t rows) const;
    double interpolate(const std::vector<double>& values, size_t rows) const;
    // exp of the mean of a level and the common one.
    double believed(size_t level) const;
    double variance(size_t level) const;  // of the sum of a level and the common one
    double& covariance(size_t i, size_t j) { return covariance_[i * mean_.size() + j]; }
    double covariance(size_t i, size_t j) const { return covariance_[i * mean_.size() + j]; }
    void drift();
    void plan();

    std::vector<size_t> rows_;
    // Of the levels: one for each point, then that of the switch, then the common one.
    std::vector<double> mean_;
    std::vector<double> covariance_;
    std::vector<bool> known_;  // whether a pass of so many tokens has run; the first one makes its kernels
    std::vector<double> planned_;
    double planned_switch_ = 0.0;
};

}  // namespace dynexec
