// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>

namespace dynexec {

// x . y / (|x| |y|) over `n` floats, in [-1, 1]. 1 if both are zero or n is 0, 0 if only one of them is. NaN if either
// holds a NaN or an infinity. Squares are floats: elements below 1e-22 count as zero, and those above 1e17 may give
// NaN.
double cosine(const float* x, const float* y, size_t n);

}  // namespace dynexec
