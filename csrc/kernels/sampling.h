// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>

namespace dynexec {

// One stream of random numbers per sequence, so that the numbers of a sequence do not depend on its neighbours in the
// batch.
class Rng {
public:
    Rng(uint64_t seed, uint64_t stream);
    double uniform();  // in [0, 1), 53 bits

private:
    std::mt19937_64 engine_;
};

// Draws an index with probability weights[i] / sum(weights) by inversion; never an index of weight 0.
// Weights are finite and >= 0; returns -1 if they are all zero.
int64_t sample(const float* weights, size_t n, Rng& rng);

}  // namespace dynexec
