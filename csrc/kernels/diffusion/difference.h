// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>

namespace dynexec {

// The difference between two samples: sums over all elements, in double.
struct DifferenceStats {
    double squared_difference;   // sum((x - y)^2)
    double absolute_difference;  // sum(|x - y|)
    double squared_norm;         // sum(x^2)
};

// Over `n` floats each; zeros if n is 0. NaN and infinity in a sample make its sums NaN or infinite. Elements above
// 1e17 may do the same, because squares are floats.
DifferenceStats difference_stats(const float* x, const float* y, size_t n);

}  // namespace dynexec
