// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "kernels/sampling.h"

#include <algorithm>

namespace dynexec {
namespace {

constexpr size_t kBlock = 256;

double block_sum(const float* weights, size_t n) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; ++i) sum += weights[i];
    return sum;
}

std::mt19937_64 make_engine(uint64_t seed, uint64_t stream) {
    const auto low = [](uint64_t v) { return static_cast<uint32_t>(v); };
    const auto high = [](uint64_t v) { return static_cast<uint32_t>(v >> 32); };
    std::seed_seq mixed{low(seed), high(seed), low(stream), high(stream)};
    return std::mt19937_64(mixed);
}

}  // namespace

Rng::Rng(uint64_t seed, uint64_t stream) : engine_(make_engine(seed, stream)) {}

double Rng::uniform() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }

int64_t sample(const float* weights, size_t n, Rng& rng) {
    double total = 0;
    for (size_t begin = 0; begin < n; begin += kBlock) total += block_sum(weights + begin, std::min(kBlock, n - begin));

    double left = rng.uniform() * total;  // mass that is still to be passed over
    for (size_t begin = 0; begin < n; begin += kBlock) {
        const size_t end = std::min(n, begin + kBlock);
        const double sum = block_sum(weights + begin, end - begin);
        if (left >= sum) {
            left -= sum;
            continue;
        }
        for (size_t i = begin; i < end; ++i) {
            const double weight = weights[i];
            if (left < weight) return static_cast<int64_t>(i);
            left -= weight;
        }
    }
    // Rounding has moved `left` past the end, or there is no mass.
    for (size_t i = n; i > 0; --i) {
        if (weights[i - 1] > 0) return static_cast<int64_t>(i - 1);
    }
    return -1;
}

}  // namespace dynexec
