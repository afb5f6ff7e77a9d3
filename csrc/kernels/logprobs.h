// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dynexec {

// A token, and the natural logarithm of its probability.
struct TokenLogprob {
    int64_t token;
    float logprob;
};

struct Logprobs {
    TokenLogprob chosen;
    std::vector<TokenLogprob> top;  // the most probable tokens, in order; of equal ones, the lowest first
};

// Of softmax(logits), [n]: the chosen token, and the `most` most probable ones. NaN for a row without a distribution.
Logprobs logprobs(const float* logits, size_t n, int64_t chosen, size_t most);

}  // namespace dynexec
