// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "encoder/pass_times.h"

#include <algorithm>

namespace dynexec {
namespace {

constexpr double kWeightOfLatest = 0.25;
constexpr double kDoubt = 0.998;

size_t power_of(size_t size) {
    size_t power = 0;
    while (size >>= 1) ++power;
    return power;
}

}  // namespace

void PassTimes::saw(size_t size, double seconds) {
    size = std::max<size_t>(size, 1);
    Mean& mean = sizes_[power_of(size)];
    const double now = seconds / static_cast<double>(size);
    // The first pass of a size compiles kernels for it, so its time says little about later passes.
    if (mean.passes++ < 2) {
        mean.seconds_per_place = mean.passes == 1 ? now : std::min(now, mean.seconds_per_place);
    } else {
        mean.seconds_per_place += kWeightOfLatest * (now - mean.seconds_per_place);
    }
}

double PassTimes::estimate(size_t size) const {
    size = std::max<size_t>(size, 1);
    const size_t found = nearest(size);
    return found == sizes_.size() ? 0.0 : sizes_[found].seconds_per_place * static_cast<double>(size);
}

void PassTimes::doubt(size_t size) {
    const size_t found = nearest(std::max<size_t>(size, 1));
    if (found != sizes_.size()) sizes_[found].seconds_per_place *= kDoubt;
}

size_t PassTimes::nearest(size_t size) const {
    const size_t power = power_of(size);
    for (size_t distance = 0; distance < sizes_.size(); ++distance) {
        // Of two sizes at the same distance, the larger one, because passes with few rows take longer per row.
        if (power + distance < sizes_.size() && sizes_[power + distance].passes > 0) return power + distance;
        if (distance <= power && sizes_[power - distance].passes > 0) return power - distance;
    }
    return sizes_.size();
}

}  // namespace dynexec
