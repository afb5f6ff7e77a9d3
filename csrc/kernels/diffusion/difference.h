// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>

namespace dynexec {

// How far two samples are apart. Sums over all elements, in double.
struct DifferenceStats {
    double squared_difference;   // sum((x - y)^2)
    double absolute_difference;  // sum(|x - y|)
    double squared_norm;         // sum(x^2)
};

// Over `n` floats each; zeros if n is 0. NaN and infinity in either make the sums they enter NaN or infinite,
// and so may elements above 1e17, as squares are floats.
DifferenceStats difference_stats(const float* x, const float* y, size_t n);

}  // namespace dynexec
