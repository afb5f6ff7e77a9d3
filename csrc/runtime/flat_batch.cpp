// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/flat_batch.h"

#include <algorithm>

namespace dynexec {

void FlatBatch::add(const int64_t* ids, size_t n, size_t past, const std::vector<int32_t>& blocks, size_t logits_rows) {
    if (subsequence_begins.empty()) {
        subsequence_begins.push_back(0);
        block_indices_begins.push_back(0);
    }
    for (size_t i = 0; i < n; ++i) {
        input_ids.push_back(ids[i]);
        position_ids.push_back(static_cast<int64_t>(past + i));
    }
    for (size_t row = tokens() - logits_rows; row < tokens(); ++row) {
        logits_indices.push_back(static_cast<int64_t>(row));
    }
    past_lens.push_back(static_cast<int32_t>(past));
    subsequence_begins.push_back(static_cast<int32_t>(tokens()));
    block_indices.insert(block_indices.end(), blocks.begin(), blocks.end());
    block_indices_begins.push_back(static_cast<int32_t>(block_indices.size()));
    max_context_len = std::max(max_context_len, static_cast<int32_t>(past + n));
}

void FlatBatch::pad(size_t n, bool with_logits) {
    hidden_states.resize(hidden_states.size() / tokens() * (tokens() + n));
    // The position is repeated, because the next one may lie outside the model's table of positions.
    input_ids.insert(input_ids.end(), n, input_ids.back());
    position_ids.insert(position_ids.end(), n, position_ids.back());
    for (size_t i = 0; with_logits && i < n; ++i) logits_indices.push_back(logits_indices.back() + 1);
    subsequence_begins.back() += static_cast<int32_t>(n);
    const size_t last = past_lens.size() - 1;
    max_context_len =
        std::max(max_context_len, past_lens[last] + subsequence_begins[last + 1] - subsequence_begins[last]);
}

void FlatBatch::clear() {
    input_ids.clear();
    position_ids.clear();
    past_lens.clear();
    subsequence_begins.clear();
    block_indices.clear();
    block_indices_begins.clear();
    logits_indices.clear();
    hidden_states.clear();
    max_context_len = 0;
    has_backlog = false;
}

}  // namespace dynexec
