// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "kernels/diffusion/difference.h"

#include <algorithm>
#include <cmath>

#include "kernels/diffusion/diffusion_isa.h"

namespace dynexec {
namespace {

// Sums are vectors of floats within a block and doubles across blocks, so that rounding does not grow with the sample.
constexpr size_t kBlock = 256;

DYNEXEC_INLINE DifferenceStats difference_body(const float* x, const float* y, size_t n) {
    DifferenceStats total{0, 0, 0};
    for (size_t begin = 0; begin < n; begin += kBlock) {
        const float* const a = x + begin;
        const float* const b = y + begin;
        const size_t size = std::min(kBlock, n - begin);
        float squared = 0;
        float absolute = 0;
        float norm = 0;
#pragma omp simd reduction(+ : squared, absolute, norm)
        for (size_t i = 0; i < size; ++i) {
            const float d = a[i] - b[i];
            squared += d * d;
            absolute += std::fabs(d);
            norm += a[i] * a[i];
        }
        total.squared_difference += squared;
        total.absolute_difference += absolute;
        total.squared_norm += norm;
    }
    return total;
}

}  // namespace

DYNEXEC_MULTIVERSION(DifferenceStats, difference, (const float* x, const float* y, size_t n), difference_body,
                     (x, y, n))

DifferenceStats difference_stats(Isa isa, const float* x, const float* y, size_t n) {
    return difference_variant(isa)(x, y, n);
}
DifferenceStats difference_stats(const float* x, const float* y, size_t n) {
    return difference_stats(best_isa(), x, y, n);
}

}  // namespace dynexec
