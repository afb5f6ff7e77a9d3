// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/sampling.h"

namespace dynexec {

// The result of one proposed token.
struct Decision {
    bool accepted;
    int64_t token;  // the proposed token if accepted, otherwise its replacement
};

// Greedy match: the proposed token is accepted only if the model itself would have chosen it.
Decision verify_greedy(int64_t proposed, int64_t target_argmax);

// Exact speculative sampling (Leviathan et al., arXiv 2211.17192, alg. 1; Chen et al., arXiv 2302.01318): accept with
// min(1, p(x)/q(x)), otherwise draw from norm(max(0, p - q)). `p`, `q`: `vocab` probabilities of target and draft
// after all processors; q == nullptr means that the proposer was certain (all mass on `proposed`), like n-gram lookup.
// The token is then the one that sample(p) would have drawn, so such proposals change neither the output nor the
// following random numbers. A residual that is zero everywhere (p == q up to rounding) is replaced by p. p must have
// positive mass.
Decision verify_sampled(int64_t proposed, const float* p, const float* q, size_t vocab, Rng& rng);

}  // namespace dynexec
