// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>

#include "kernels/isa.h"
#include "kernels/logits_processors.h"

namespace dynexec {

// process_logits for one instruction set, which the CPU must have.
void process_logits(Isa isa, float* logits, size_t vocab, const LogitsParams& params, const TokenCounts& counts);

}  // namespace dynexec
