// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "runtime/cost_curve.h"

namespace dynexec {

// The cost of passes of a chain of segments: the sum of the costs of the segments.
class CostModel {
public:
    explicit CostModel(size_t num_segments) : segments_(num_segments) {}

    // See CostCurve.
    void set(size_t segment, std::vector<std::pair<size_t, double>> points, double switch_seconds,
             double doubt = CostCurve::kMostDoubt) {
        segments_[segment].set(std::move(points), switch_seconds, doubt);
    }
    void observe(size_t segment, size_t rows, bool switched, double seconds) {
        segments_[segment].observe(rows, switched, seconds);
        idle_ = false;
    }
    bool measured() const { return segments_.front().measured(); }
    double seconds(size_t rows) const { return seconds_until(segments_.size(), rows); }
    double switch_seconds() const;
    std::vector<std::pair<size_t, double>> points() const;

    // The same for the segments [0, last) only.
    double seconds_until(size_t last, size_t rows) const;

    // Called between steps of a target, for a model that may draft for it. A model that has not run since the last
    // call is assumed to have become slower or faster by the same factor as the target, because both run on one
    // machine. The longer it does not run, the less certain its cost is. `target`: any number that identifies the
    // target.
    void follow(const CostModel& other, uint64_t target);

private:
    double level() const;

    std::vector<CostCurve> segments_;
    bool idle_ = true;  // since the last call of follow()
    std::optional<uint64_t> followed_;
    double followed_level_ = 0.0;
};

}  // namespace dynexec
