// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/cost_curve.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace dynexec {
namespace {

// Standard deviations of logarithms. Of a pass, around its level:
constexpr double kNoise = 0.15;
// of the common level, before the first pass,
constexpr double kCommonDoubt = 0.7;
// of the cost of a switch, before the first one: it is measured between passes of one sequence, and that of a batch
// takes longer,
constexpr double kSwitchDoubt = 0.3;
// and of the change of a level from pass to pass.
constexpr double kCommonDrift = 0.03;
constexpr double kOwnDrift = 0.004;
// A pass that deviates by more than this number of standard deviations counts as deviating by this number: it may be
// an outlier.
constexpr double kOutlier = 3.0;
// The shortest plausible time is this number of standard deviations below the most probable time.
constexpr double kHope = 2.0;
// A time with a standard deviation of at most this value counts as known, like those of row counts that run all the
// time.
constexpr double kSettled = 0.07;
// No time is more certain than this.
constexpr double kLeastVariance = 1e-4;
// The initial cost of a switch whose measured cost is zero, as a share of the shortest pass.
constexpr double kLeastSwitch = 0.01;
// A pass of at least this multiple of the largest point becomes a point, so there are few of them. A shorter one shows
// how busy the machine is, with more noise.
constexpr double kNextPoint = 1.25;
constexpr double kNoiseBeyond = 0.5;
// No pass is longer.
constexpr size_t kMostRows = 4096;

double square(double x) { return x * x; }

// The non-decreasing values that are closest to `values`, by weighted squares: isotonic regression by pooling of
// adjacent violators.
std::vector<double> non_decreasing(const std::vector<double>& values, const std::vector<double>& weights) {
    struct Pool {
        double mean;
        double weight;
        size_t size;
    };
    std::vector<Pool> pools;
    for (size_t i = 0; i < values.size(); ++i) {
        Pool pool{values[i], weights[i], 1};
        for (; !pools.empty() && pool.mean < pools.back().mean; pools.pop_back()) {
            const Pool& before = pools.back();
            const double weight = before.weight + pool.weight;
            pool = {(before.weight * before.mean + pool.weight * pool.mean) / weight, weight, before.size + pool.size};
        }
        pools.push_back(pool);
    }
    std::vector<double> found;
    for (const Pool& pool : pools) found.insert(found.end(), pool.size, pool.mean);
    return found;
}

}  // namespace

void CostCurve::set(std::vector<std::pair<size_t, double>> points, double switch_seconds, double doubt) {
    for (size_t i = points.size(); i-- > 1;) points[i - 1].second = std::min(points[i - 1].second, points[i].second);
    rows_.clear();
    mean_.clear();
    known_.assign(points.empty() ? 0 : kMostRows + 1, false);
    for (const auto& [rows, seconds] : points) {
        rows_.push_back(rows);
        mean_.push_back(std::log(seconds));
        known_[rows] = true;
    }
    planned_switch_ = std::max(0.0, switch_seconds);
    if (points.empty()) return;
    mean_.push_back(std::log(std::max(switch_seconds, kLeastSwitch * points.front().second)));
    mean_.push_back(0.0);
    doubt = std::clamp(doubt, kLeastDoubt, kMostDoubt);
    covariance_.assign(mean_.size() * mean_.size(), 0.0);
    for (size_t i = 0; i < points.size(); ++i) covariance(i, i) = square(doubt);
    covariance(points.size(), points.size()) = square(kSwitchDoubt);
    covariance(mean_.size() - 1, mean_.size() - 1) = square(kCommonDoubt);
    planned_.clear();
    for (const auto& point : points) planned_.push_back(point.second);
}

CostCurve::Place CostCurve::place_of(size_t rows) const {
    if (rows_.size() == 1 || rows <= rows_[0]) return {0, 0.0};
    size_t i = 1;
    while (i + 1 < rows_.size() && rows_[i] < rows) ++i;
    return {i - 1, static_cast<double>(rows - rows_[i - 1]) / static_cast<double>(rows_[i] - rows_[i - 1])};
}

double CostCurve::interpolate(const std::vector<double>& values, size_t rows) const {
    const auto [left, weight] = place_of(rows);
    if (weight == 0.0) return values[left];
    const double difference = values[left + 1] - values[left];
    if (weight <= 1.0) return values[left] + weight * difference;
    // Beyond the last point, the slope is the last one, but at least that of all points: two points may be too close
    // to each other, or differ by noise alone.
    const size_t last = left + 1;
    const double slope = difference / static_cast<double>(rows_[last] - rows_[left]);
    const double whole = (values[last] - values[0]) / static_cast<double>(rows_[last] - rows_[0]);
    return values[last] + static_cast<double>(rows - rows_[last]) * std::max({0.0, slope, whole});
}

double CostCurve::seconds(size_t rows) const {
    if (rows_.empty()) throw std::logic_error("CostCurve: nothing was measured");
    return interpolate(planned_, rows);
}

std::vector<std::pair<size_t, double>> CostCurve::points() const {
    std::vector<std::pair<size_t, double>> points;
    for (size_t i = 0; i < rows_.size(); ++i) points.emplace_back(rows_[i], believed(i));
    return points;
}

double CostCurve::believed(size_t level) const { return std::exp(mean_[level] + mean_.back()); }

double CostCurve::variance(size_t level) const {
    const size_t common = mean_.size() - 1;
    return covariance(level, level) + 2.0 * covariance(level, common) + covariance(common, common);
}

void CostCurve::observe(size_t rows, bool switched, double seconds) {
    if (rows == 0 || rows >= known_.size() || !(seconds > 0.0)) return;
    if (!known_[rows]) {
        known_[rows] = true;
        return;
    }
    drift();
    if (static_cast<double>(rows) >= kNextPoint * static_cast<double>(rows_.back())) {
        add_point(rows, switched ? std::max(seconds - believed(mean_.size() - 2), 0.5 * seconds) : seconds);
        plan();
        return;
    }
    const size_t levels = mean_.size();
    const size_t common = levels - 1;
    const size_t switching = levels - 2;
    std::vector<double> values;
    for (size_t i = 0; i < rows_.size(); ++i) values.push_back(believed(i));
    double expected = interpolate(values, rows);
    if (switched) expected += believed(switching);
    if (!(expected > 0.0)) return;

    // The derivatives of the logarithm of the expected time by each level.
    std::vector<double> slope(levels, 0.0);
    slope[common] = 1.0;
    const bool beyond = rows > rows_.back();
    if (!beyond) {
        const auto [left, weight] = place_of(rows);
        slope[left] = (1.0 - weight) * values[left] / expected;
        if (weight > 0.0) slope[left + 1] = weight * values[left + 1] / expected;
        if (switched) slope[switching] = believed(switching) / expected;
    }
    std::vector<double> gain(levels, 0.0);
    double uncertainty = square(beyond ? kNoiseBeyond : kNoise);
    for (size_t i = 0; i < levels; ++i) {
        for (size_t j = 0; j < levels; ++j) gain[i] += covariance(i, j) * slope[j];
        uncertainty += slope[i] * gain[i];
    }
    const double limit = kOutlier * std::sqrt(uncertainty);
    const double surprise = std::clamp(std::log(seconds / expected), -limit, limit);
    for (size_t i = 0; i < levels; ++i) {
        mean_[i] += gain[i] / uncertainty * surprise;
        for (size_t j = 0; j < levels; ++j) covariance(i, j) -= gain[i] * gain[j] / uncertainty;
    }
    plan();
}

void CostCurve::add_point(size_t rows, double seconds) {
    const size_t at = rows_.size(), levels = mean_.size();
    std::vector<double> covariance((levels + 1) * (levels + 1), 0.0);
    const auto moved = [at](size_t level) { return level < at ? level : level + 1; };
    for (size_t i = 0; i < levels; ++i) {
        for (size_t j = 0; j < levels; ++j) covariance[moved(i) * (levels + 1) + moved(j)] = this->covariance(i, j);
    }
    // Its own level is what was observed, less the common level.
    for (size_t i = 0; i < levels; ++i) {
        const double shared = -this->covariance(i, levels - 1);
        covariance[at * (levels + 1) + moved(i)] = covariance[moved(i) * (levels + 1) + at] = shared;
    }
    covariance[at * (levels + 1) + at] = square(kNoise) + this->covariance(levels - 1, levels - 1);
    mean_.insert(mean_.begin() + static_cast<std::ptrdiff_t>(at), std::log(seconds) - mean_.back());
    covariance_ = std::move(covariance);
    rows_.push_back(rows);
    planned_.push_back(seconds);
}

void CostCurve::shift(double change) {
    if (rows_.empty()) return;
    mean_.back() += change;
    drift();
    plan();
}

void CostCurve::drift() {
    const size_t common = mean_.size() - 1;
    covariance(common, common) += square(kCommonDrift);
    for (size_t i = 0; i < common; ++i) {
        if (covariance(i, i) < square(kMostDoubt)) covariance(i, i) += square(kOwnDrift);
    }
}

void CostCurve::plan() {
    std::vector<double> logarithms, weights;
    for (size_t i = 0; i < rows_.size(); ++i) {
        const double deviation = std::sqrt(std::max(0.0, variance(i)));
        logarithms.push_back(std::log(believed(i)) - kHope * std::max(0.0, deviation - kSettled));
        weights.push_back(1.0 / (kLeastVariance + variance(i)));
    }
    // More rows never take less time, although it may seem so: the large passes that were timed have the rows of one
    // sequence, and the small ones that run have those of a whole batch, with a context each.
    const std::vector<double> rising = non_decreasing(logarithms, weights);
    for (size_t i = 0; i < rows_.size(); ++i) planned_[i] = std::exp(rising[i]);
    // Too low a cost would be paid again and again, and passes switch often enough to correct one that is too high.
    planned_switch_ = believed(mean_.size() - 2);
}

}  // namespace dynexec
