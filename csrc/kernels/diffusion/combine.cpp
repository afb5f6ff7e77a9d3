// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "kernels/diffusion/combine.h"

#include <algorithm>

#include "kernels/diffusion/diffusion_isa.h"

namespace dynexec {
namespace {

// A block of the output stays in the first-level cache while the inputs are added to it.
constexpr size_t kBlock = 1024;

DYNEXEC_INLINE void combine_body(const float* const* inputs, const float* weights, size_t count, float* out, size_t n) {
    for (size_t begin = 0; begin < n; begin += kBlock) {
        float* const block = out + begin;
        const size_t size = std::min(kBlock, n - begin);
        for (size_t i = 0; i < size; ++i) block[i] = 0.0f;
        for (size_t k = 0; k < count; ++k) {
            const float* const input = inputs[k] + begin;
            const float weight = weights[k];
#pragma omp simd
            for (size_t i = 0; i < size; ++i) block[i] += weight * input[i];
        }
    }
}

}  // namespace

DYNEXEC_MULTIVERSION(void, combine_rows,
                     (const float* const* inputs, const float* weights, size_t count, float* out, size_t n),
                     combine_body, (inputs, weights, count, out, n))

void combine(Isa isa, const float* const* inputs, const float* weights, size_t count, float* out, size_t n) {
    combine_rows_variant(isa)(inputs, weights, count, out, n);
}
void combine(const float* const* inputs, const float* weights, size_t count, float* out, size_t n) {
    combine(best_isa(), inputs, weights, count, out, n);
}

}  // namespace dynexec
