// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/isa.h"
#include "kernels/logits_stats.h"

namespace dynexec {

// The functions of logits_stats.h for one instruction set, which the CPU must have.
LogitsStats logits_stats(Isa isa, const float* logits, size_t n);
int64_t argmax(Isa isa, const float* logits, size_t n);
bool softmax(Isa isa, float* logits, size_t n);

}  // namespace dynexec
