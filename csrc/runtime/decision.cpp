// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/decision.h"

#include <stdexcept>
#include <string>

#include "kernels/logits_stats.h"

namespace dynexec {
namespace {

[[noreturn]] void no_distribution(const Sequence& sequence) {
    throw std::runtime_error("The logits of sequence " + std::to_string(sequence.index) + " after " +
                             std::to_string(sequence.tokens.size()) +
                             " tokens contain NaN or infinity, or the logits processors removed every token");
}

}  // namespace

Decision decide(Sequence& sequence, size_t position, float* row, size_t vocab) {
    const LogitsParams& params = sequence.request.logits;
    const Draft& draft = sequence.draft;
    const bool drafted = position < draft.tokens.size();
    if (!params.is_identity()) process_logits(row, vocab, params, sequence.counts);
    if (!params.do_sample) {
        const int64_t best = argmax(row, vocab);
        if (best < 0) no_distribution(sequence);
        return drafted ? verify_greedy(draft.tokens[position], best) : Decision{true, best};
    }
    if (!softmax(row, vocab)) no_distribution(sequence);
    if (!drafted) return {true, sample(row, vocab, sequence.rng)};
    const float* q = draft.probs.empty() ? nullptr : draft.probs[position].data();
    return verify_sampled(draft.tokens[position], row, q, vocab, sequence.rng);
}

}  // namespace dynexec
