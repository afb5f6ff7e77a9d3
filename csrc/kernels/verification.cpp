// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "kernels/verification.h"

#include <vector>

namespace dynexec {

Decision verify_greedy(int64_t proposed, int64_t target_argmax) { return {proposed == target_argmax, target_argmax}; }

Decision verify_sampled(int64_t proposed, const float* p, const float* q, size_t vocab, Rng& rng) {
    if (q == nullptr) {
        // Accepting with probability p(x), and otherwise drawing from the other tokens, is the same as drawing from p.
        // In this way, a token uses the same single random number as in plain decoding, and is the same token.
        const int64_t token = sample(p, vocab, rng);
        return {token == proposed, token};
    }
    if (proposed >= 0 && static_cast<uint64_t>(proposed) < vocab) {
        const size_t x = static_cast<size_t>(proposed);
        // u < p/q without the division; u < 1, so p == q always accepts.
        if (rng.uniform() * q[x] < p[x]) return {true, proposed};
    }

    thread_local std::vector<float> residual;
    residual.resize(vocab);
#pragma omp simd
    for (size_t i = 0; i < vocab; ++i) residual[i] = p[i] > q[i] ? p[i] - q[i] : 0.0f;
    const int64_t token = sample(residual.data(), vocab, rng);
    return {false, token >= 0 ? token : sample(p, vocab, rng)};
}

}  // namespace dynexec
