// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "kernels/diffusion/cosine.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/diffusion/diffusion_isa.h"

namespace dynexec {
namespace {

constexpr size_t kBlock = 256;  // as in difference.cpp

DYNEXEC_INLINE double cosine_body(const float* x, const float* y, size_t n) {
    double product = 0;
    double norm_x = 0;
    double norm_y = 0;
    for (size_t begin = 0; begin < n; begin += kBlock) {
        const float* const a = x + begin;
        const float* const b = y + begin;
        const size_t size = std::min(kBlock, n - begin);
        float ab = 0;
        float aa = 0;
        float bb = 0;
#pragma omp simd reduction(+ : ab, aa, bb)
        for (size_t i = 0; i < size; ++i) {
            ab += a[i] * b[i];
            aa += a[i] * a[i];
            bb += b[i] * b[i];
        }
        product += ab;
        norm_x += aa;
        norm_y += bb;
    }
    if (!std::isfinite(norm_x) || !std::isfinite(norm_y)) return std::numeric_limits<double>::quiet_NaN();
    if (norm_x == 0 || norm_y == 0) return norm_x == norm_y ? 1.0 : 0.0;
    // The square roots are taken separately, because the product of the sums may overflow or underflow.
    return std::max(-1.0, std::min(1.0, product / std::sqrt(norm_x) / std::sqrt(norm_y)));
}

}  // namespace

DYNEXEC_MULTIVERSION(double, cosine_of, (const float* x, const float* y, size_t n), cosine_body, (x, y, n))

double cosine(Isa isa, const float* x, const float* y, size_t n) { return cosine_of_variant(isa)(x, y, n); }
double cosine(const float* x, const float* y, size_t n) { return cosine(best_isa(), x, y, n); }

}  // namespace dynexec
