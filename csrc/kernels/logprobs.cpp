// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "kernels/logprobs.h"

#include <algorithm>
#include <numeric>

#include "kernels/logits_stats.h"

namespace dynexec {

Logprobs logprobs(const float* logits, size_t n, int64_t chosen, size_t most) {
    const float logsumexp = logits_stats(logits, n).logsumexp;
    const auto logprob = [&](int64_t token) { return TokenLogprob{token, logits[token] - logsumexp}; };
    Logprobs found{logprob(chosen), {}};
    if (most == 0) return found;
    std::vector<int64_t> order(n);
    std::iota(order.begin(), order.end(), 0);
    const auto end = order.begin() + static_cast<std::ptrdiff_t>(std::min(most, n));
    std::partial_sort(order.begin(), end, order.end(),
                      [&](int64_t a, int64_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
    for (auto token = order.begin(); token != end; ++token) found.top.push_back(logprob(*token));
    return found;
}

}  // namespace dynexec
