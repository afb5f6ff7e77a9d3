// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <limits>

#include "kernels/isa.h"

namespace dynexec {

// Largest of `n` floats, NaN skipped; -inf if there is none. The lanes are written out because clang does not
// vectorise a max reduction that respects NaN.
DYNEXEC_INLINE float block_max(const float* x, size_t n) {
    constexpr size_t kLanes = 32;
    constexpr float kInf = std::numeric_limits<float>::infinity();
    float lanes[kLanes];
    for (size_t j = 0; j < kLanes; ++j) lanes[j] = -kInf;
    size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
#pragma omp simd
        for (size_t j = 0; j < kLanes; ++j) lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
    }
    for (size_t j = 0; i + j < n; ++j) lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
    for (size_t width = kLanes / 2; width > 0; width /= 2) {
        for (size_t j = 0; j < width; ++j) lanes[j] = lanes[j + width] > lanes[j] ? lanes[j + width] : lanes[j];
    }
    return lanes[0];
}

DYNEXEC_INLINE bool block_has_nan(const float* x, size_t n) {
    unsigned nan = 0;
#pragma omp simd reduction(| : nan)
    for (size_t i = 0; i < n; ++i) nan |= x[i] != x[i] ? 1u : 0u;
    return nan != 0;
}

}  // namespace dynexec
