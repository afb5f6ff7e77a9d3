// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "kernels/logits_stats.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/block_max.h"
#include "kernels/exp.h"
#include "kernels/isa.h"
#include "kernels/logits_stats_isa.h"

namespace dynexec {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Rows are read in blocks: within one, sums are vectors of floats; across blocks they are doubles. That keeps rounding
// errors independent of the length of the row, and makes the position of the maximum cheap to find.
constexpr size_t kBlock = 256;

struct Top2 {
    float first;
    float second;
    size_t block;  // offset of the first block that holds `first`
};

DYNEXEC_INLINE Top2 top2_blocks(const float* x, size_t n) {
    Top2 top{-kInf, -kInf, 0};
    for (size_t begin = 0; begin < n; begin += kBlock) {
        const float max = block_max(x + begin, std::min(kBlock, n - begin));
        if (max > top.first) {
            top = {max, top.first, begin};
        } else if (max > top.second) {
            top.second = max;
        }
    }
    return top;
}

// Needs a finite or +inf top.first. Completes top.second with what is in the same block.
DYNEXEC_INLINE size_t locate_top(const float* x, size_t n, Top2& top) {
    size_t index = top.block;
    while (!(x[index] == top.first)) ++index;
    const size_t end = std::min(n, top.block + kBlock);
    const float before = block_max(x + top.block, index - top.block);
    const float after = block_max(x + index + 1, end - index - 1);
    top.second = std::max(top.second, std::max(before, after));
    return index;
}

struct ExpSums {
    double sum = 0;       // sum(exp(d)), d = x - max
    double weighted = 0;  // sum(d * exp(d))
};

DYNEXEC_INLINE ExpSums exp_sums(const float* x, size_t n, float max) {
    ExpSums total;
    for (size_t begin = 0; begin < n; begin += kBlock) {
        const float* const block = x + begin;
        const size_t size = std::min(kBlock, n - begin);
        float sum = 0;
        float weighted = 0;
#pragma omp simd reduction(+ : sum, weighted)
        for (size_t i = 0; i < size; ++i) {
            const float d = block[i] - max;
            const float e = exp_nonpositive(d);
            sum += e;
            weighted += (d < kExpMin ? kExpMin : d) * e;  // 0 * -inf would be NaN
        }
        total.sum += sum;
        total.weighted += weighted;
    }
    return total;
}

DYNEXEC_INLINE LogitsStats stats_body(const float* x, size_t n) {
    const LogitsStats invalid{-1, kNan, kNan, kNan, kNan, kNan};
    Top2 top = top2_blocks(x, n);
    if (!(std::fabs(top.first) < kInf)) return invalid;
    const ExpSums sums = exp_sums(x, n, top.first);
    if (std::isnan(sums.sum)) return invalid;  // the maximum skips NaN, the sum does not
    const size_t index = locate_top(x, n, top);

    const double log_sum = std::log(sums.sum);
    const double lead = -std::expm1(static_cast<double>(top.second) - top.first);  // 1 - second / first probability
    LogitsStats stats;
    stats.argmax = static_cast<int64_t>(index);
    stats.max = top.first;
    stats.logsumexp = static_cast<float>(top.first + log_sum);
    stats.max_prob = static_cast<float>(1.0 / sums.sum);
    stats.margin = static_cast<float>(lead / sums.sum);
    stats.entropy = static_cast<float>(std::max(0.0, log_sum - sums.weighted / sums.sum));
    return stats;
}

DYNEXEC_INLINE int64_t argmax_body(const float* x, size_t n) {
    float best = -kInf;
    size_t best_block = 0;
    for (size_t begin = 0; begin < n; begin += kBlock) {
        const size_t size = std::min(kBlock, n - begin);
        if (block_has_nan(x + begin, size)) return -1;
        const float max = block_max(x + begin, size);
        if (max > best) {
            best = max;
            best_block = begin;
        }
    }
    if (best == -kInf) return -1;
    size_t index = best_block;
    while (!(x[index] == best)) ++index;
    return static_cast<int64_t>(index);
}

DYNEXEC_INLINE bool softmax_body(float* x, size_t n) {
    const float max = top2_blocks(x, n).first;
    if (!(std::fabs(max) < kInf)) return false;
    double total = 0;
    for (size_t begin = 0; begin < n; begin += kBlock) {
        float* const block = x + begin;
        const size_t size = std::min(kBlock, n - begin);
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (size_t i = 0; i < size; ++i) {
            block[i] = exp_nonpositive(block[i] - max);
            sum += block[i];
        }
        total += sum;
    }
    if (std::isnan(total)) return false;
    const float scale = static_cast<float>(1.0 / total);
#pragma omp simd
    for (size_t i = 0; i < n; ++i) x[i] *= scale;
    return true;
}

}  // namespace

DYNEXEC_MULTIVERSION(LogitsStats, stats, (const float* x, size_t n), stats_body, (x, n))
DYNEXEC_MULTIVERSION(int64_t, argmax, (const float* x, size_t n), argmax_body, (x, n))
DYNEXEC_MULTIVERSION(bool, softmax, (float* x, size_t n), softmax_body, (x, n))

LogitsStats logits_stats(Isa isa, const float* logits, size_t n) { return stats_variant(isa)(logits, n); }
int64_t argmax(Isa isa, const float* logits, size_t n) { return argmax_variant(isa)(logits, n); }
bool softmax(Isa isa, float* logits, size_t n) { return softmax_variant(isa)(logits, n); }

LogitsStats logits_stats(const float* logits, size_t n) { return logits_stats(best_isa(), logits, n); }
int64_t argmax(const float* logits, size_t n) { return argmax(best_isa(), logits, n); }
bool softmax(float* logits, size_t n) { return softmax(best_isa(), logits, n); }

}  // namespace dynexec
