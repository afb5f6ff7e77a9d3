// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "kernels/verification.h"

#include <vector>

namespace dynexec {

Decision verify_greedy(int64_t proposed, int64_t target_argmax) { return {proposed == target_argmax, target_argmax}; }

Decision verify_sampled(int64_t proposed, const float* p, const float* q, size_t vocab, Rng& rng) {
    const bool in_vocab = proposed >= 0 && static_cast<uint64_t>(proposed) < vocab;
    if (in_vocab) {
        const size_t x = static_cast<size_t>(proposed);
        const double q_x = q == nullptr ? 1.0 : q[x];
        // u < p/q without the division; u < 1, so p == q always accepts.
        if (rng.uniform() * q_x < p[x]) return {true, proposed};
    }

    thread_local std::vector<float> residual;
    residual.assign(p, p + vocab);
    if (q != nullptr) {
#pragma omp simd
        for (size_t i = 0; i < vocab; ++i) residual[i] = p[i] > q[i] ? p[i] - q[i] : 0.0f;
    } else if (in_vocab) {
        residual[static_cast<size_t>(proposed)] = 0.0f;
    }
    const int64_t token = sample(residual.data(), vocab, rng);
    return {false, token >= 0 ? token : sample(p, vocab, rng)};
}

}  // namespace dynexec
