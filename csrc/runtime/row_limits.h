// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "runtime/flat_batch.h"

namespace dynexec {

// The sizes of passes in which the logits of a token do not depend on the other rows, bit for bit. OpenVINO has other
// kernels for a single row of a product, for a single query row of a sequence in PagedAttention, and, on some
// processors, for products with many rows. They add in another order.
struct RowLimits {
    size_t per_sequence = 1;                           // least number of rows of each sequence in a pass
    size_t least = 1;                                  // least number of rows of a pass
    size_t most = std::numeric_limits<size_t>::max();  // largest number of rows of a pass
    size_t attention = 1;                              // least number of rows of each sequence in PagedAttention

    bool none() const {
        return per_sequence == 1 && least == 1 && most == std::numeric_limits<size_t>::max() && attention == 1;
    }
};

// Throws std::invalid_argument if no pass can keep the limits.
void validate(const RowLimits& limits);

// A part of a batch, with the rows that were added so that it keeps the limits.
struct LimitedPass {
    FlatBatch batch;
    std::vector<std::pair<size_t, size_t>> kept;  // ranges of its rows that are those of the batch, in its order
    size_t logits = 0;                            // the first rows of its logits are those of the batch
};

// Whether `batch` keeps the limits as it is.
bool keeps(const FlatBatch& batch, const RowLimits& limits);

// Divides `batch` into passes that keep the limits. Added rows repeat a token. Their keys and values go to the places
// of later tokens of their sequence, which will overwrite them, or to `scratch_block`, where there are no such places.
std::vector<LimitedPass> divide(const FlatBatch& batch, const RowLimits& limits, size_t block_size,
                                int32_t scratch_block);

}  // namespace dynexec
