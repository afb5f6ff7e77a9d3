// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>

namespace dynexec {

// The statistics of one row of logits that exits, the confidence threshold and greedy decoding need.
struct LogitsStats {
    int64_t argmax;   // lowest index among equal maxima, like torch.argmax on the CPU
    float max;        // largest logit
    float logsumexp;  // log(sum(exp(logits)))
    float max_prob;   // softmax(logits)[argmax]
    float margin;     // max_prob minus the second largest probability (CALM, arXiv 2207.07061)
    float entropy;    // of softmax(logits), in nats (BranchyNet, arXiv 1709.01686)
};

// Statistics of softmax(logits) in one or two passes over `n` >= 1 floats. -inf entries have probability 0.
// A row that holds NaN or +inf, or only -inf, has no distribution: argmax is -1 and the rest is NaN.
LogitsStats logits_stats(const float* logits, size_t n);

// Index of the largest logit; the lowest such index on ties; -1 if the row holds a NaN or only -inf.
int64_t argmax(const float* logits, size_t n);

// In place softmax; returns false (row unspecified) where logits_stats would give argmax -1.
bool softmax(float* logits, size_t n);

}  // namespace dynexec
