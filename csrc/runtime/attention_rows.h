// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/flat_batch.h"

namespace dynexec {

// The rows of a pass that PagedAttention sees. Those that are added to short sequences repeat their last row. Their
// keys and values go to the places of later tokens, or to a scratch block, and nobody reads their output.
struct AttentionRows {
    std::vector<int64_t> rows;  // of the batch
    std::vector<int64_t> kept;  // [tokens]: which of `rows` are those of the batch
    // As in FlatBatch, for `rows`.
    std::vector<int32_t> subsequence_begins;
    std::vector<int32_t> block_indices;
    std::vector<int32_t> block_indices_begins;
    int32_t max_context_len = 0;

    // `least`: least number of rows of each sequence.
    void follow(const FlatBatch& batch, size_t least, size_t block_size, int32_t scratch_block);
};

}  // namespace dynexec
