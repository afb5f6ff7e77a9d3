// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>

namespace dynexec {

// out[i] = sum over k < count of weights[k] * inputs[k][i], for `n` floats. An input with weight 0 still counts: its
// NaN and infinity appear in the sum. `out` must not be one of the inputs. A count of 0 gives zeros.
void combine(const float* const* inputs, const float* weights, size_t count, float* out, size_t n);

}  // namespace dynexec
