// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/sampling.h"

namespace dynexec {

// What became of one proposed token.
struct Decision {
    bool accepted;
    int64_t token;  // the proposed token if accepted, else its replacement
};

// Greedy match: the proposal stands only if it is what the model itself would have chosen.
Decision verify_greedy(int64_t proposed, int64_t target_argmax);

// Exact speculative sampling (Leviathan et al., arXiv 2211.17192, alg. 1; Chen et al., arXiv 2302.01318):
// accept with min(1, p(x)/q(x)), otherwise draw from norm(max(0, p - q)).
// `p`, `q`: `vocab` probabilities of target and draft after all processors; q == nullptr stands for a proposer that was
// certain (all mass on `proposed`), as n-gram lookup is; the token is then the one that sample(p) would have drawn, so
// such proposals change neither the output nor the random numbers that follow. A residual that is zero everywhere
// (p == q up to rounding) is replaced by p. p must have positive mass.
Decision verify_sampled(int64_t proposed, const float* p, const float* q, size_t vocab, Rng& rng);

}  // namespace dynexec
