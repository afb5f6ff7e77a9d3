// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/attention_rows.h"

#include <algorithm>

namespace dynexec {

void AttentionRows::follow(const FlatBatch& batch, size_t least, size_t block_size, int32_t scratch_block) {
    rows.clear();
    kept.clear();
    subsequence_begins.assign(1, 0);
    block_indices.clear();
    block_indices_begins.assign(1, 0);
    max_context_len = batch.max_context_len;
    for (size_t i = 0; i < batch.past_lens.size(); ++i) {
        const auto blocks = batch.block_indices.begin();
        block_indices.insert(block_indices.end(), blocks + batch.block_indices_begins[i],
                             blocks + batch.block_indices_begins[i + 1]);
        for (int32_t row = batch.subsequence_begins[i]; row < batch.subsequence_begins[i + 1]; ++row) {
            kept.push_back(static_cast<int64_t>(rows.size()));
            rows.push_back(row);
        }
        const auto begin = static_cast<size_t>(subsequence_begins.back());
        while (rows.size() - begin < least) rows.push_back(rows.back());
        const auto length = batch.past_lens[i] + static_cast<int32_t>(rows.size() - begin);
        max_context_len = std::max(max_context_len, length);
        const auto first = static_cast<size_t>(block_indices_begins.back());
        while (block_size > 0 && (block_indices.size() - first) * block_size < static_cast<size_t>(length)) {
            block_indices.push_back(scratch_block);
        }
        subsequence_begins.push_back(static_cast<int32_t>(rows.size()));
        block_indices_begins.push_back(static_cast<int32_t>(block_indices.size()));
    }
}

}  // namespace dynexec
