// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "runtime/sequence.h"

namespace dynexec {

// What a caller decides about the next token. A callback that is not set costs nothing.
struct Callbacks {
    // Rewrites the [vocab] logits of the next token of `sequence` in place.
    std::function<void(const Sequence& sequence, float* logits, size_t vocab)> process_logits;
    // Called after every token. If it returns true, the sequence ends with that token.
    std::function<bool(const Sequence& sequence)> should_stop;
    // Called after the last token, unless the sequence has ended. Returns the tokens that the caller expects next,
    // because the processors will exclude all others. They are drafts like any other.
    std::function<std::vector<int64_t>(const Sequence& sequence)> forced;
};

// The tokens that a sequence has taken in a step.
struct Committed {
    size_t drafted = 0;
    size_t accepted = 0;
    size_t tokens = 0;
};

// Takes tokens from `rows`, [1 + draft tokens, vocab], until a token differs from the draft, the rows end or the
// sequence ends. The rows are overwritten. Throws what decide() and the callbacks throw.
Committed commit(Sequence& sequence, float* rows, size_t vocab, const Callbacks& callbacks);

}  // namespace dynexec
