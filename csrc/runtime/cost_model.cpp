// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/cost_model.h"

namespace dynexec {

double CostModel::switch_seconds() const {
    double seconds = 0.0;
    for (const CostCurve& segment : segments_) seconds += segment.switch_seconds();
    return seconds;
}

double CostModel::seconds_until(size_t last, size_t rows) const {
    double seconds = 0.0;
    for (size_t i = 0; i < last; ++i) seconds += segments_[i].seconds(rows);
    return seconds;
}

std::vector<std::pair<size_t, double>> CostModel::points() const {
    auto points = segments_.front().points();
    for (size_t i = 1; i < segments_.size(); ++i) {
        const auto more = segments_[i].points();
        for (size_t k = 0; k < points.size(); ++k) points[k].second += more[k].second;
    }
    return points;
}

double CostModel::level() const {
    double sum = 0.0;
    for (const CostCurve& segment : segments_) sum += segment.level();
    return sum / static_cast<double>(segments_.size());
}

void CostModel::follow(const CostModel& other, uint64_t target) {
    const double level = other.level();
    if (followed_ == target && idle_) {
        for (CostCurve& segment : segments_) segment.shift(level - followed_level_);
    }
    followed_ = target;
    followed_level_ = level;
    idle_ = true;
}

}  // namespace dynexec
