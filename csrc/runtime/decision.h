// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/verification.h"
#include "runtime/sequence.h"

namespace dynexec {

// Decides the next token of `sequence` from `row`, the target's [vocab] logits after its tokens so far (overwritten).
// `position`: index into sequence.draft of the token proposed for this place; after its end, a token is chosen freely.
// Greedy match or exact speculative sampling, depending on sequence.request.logits.do_sample. Throws
// std::runtime_error if the logits hold NaN or leave no token to choose.
Decision decide(Sequence& sequence, size_t position, float* row, size_t vocab);

}  // namespace dynexec
