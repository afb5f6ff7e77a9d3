// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>

#include "kernels/diffusion/combine.h"
#include "kernels/diffusion/cosine.h"
#include "kernels/diffusion/difference.h"
#include "kernels/isa.h"

namespace dynexec {

// The functions of these headers for one instruction set, which the CPU must have.
DifferenceStats difference_stats(Isa isa, const float* x, const float* y, size_t n);
double cosine(Isa isa, const float* x, const float* y, size_t n);
void combine(Isa isa, const float* const* inputs, const float* weights, size_t count, float* out, size_t n);

}  // namespace dynexec
