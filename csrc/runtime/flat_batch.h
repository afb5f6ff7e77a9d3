// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dynexec {

// One forward pass over several sequences laid end to end: the inputs of a PagedAttention model.
struct FlatBatch {
    std::vector<int64_t> input_ids;             // [tokens]
    std::vector<int64_t> position_ids;          // [tokens]
    std::vector<int32_t> past_lens;             // [sequences]
    std::vector<int32_t> subsequence_begins;    // [sequences + 1]
    std::vector<int32_t> block_indices;         // [sum of blocks]
    std::vector<int32_t> block_indices_begins;  // [sequences + 1]
    int32_t max_context_len = 0;
    std::vector<int64_t> logits_indices;  // [rows]: the tokens whose logits are wanted
    // [tokens, hidden size]: what a model takes whose input is the hidden states of another. The caller appends them.
    std::vector<float> hidden_states;

    // Whether tokens are run whose logits nobody asks for, of a prompt above all. How long such a pass takes says
    // little about the others.
    bool has_backlog = false;

    size_t tokens() const { return input_ids.size(); }

    // Appends `n` tokens of a sequence that has `past` tokens in the cache; asks for the logits of the last
    // `logits_rows` of them.
    void add(const int64_t* ids, size_t n, size_t past, const std::vector<int32_t>& blocks, size_t logits_rows);
    // Appends `n` tokens behind those of the last sequence whose only use is the shape of the batch. Their logits mean
    // nothing, what they leave in the cache is written over by the tokens that come next.
    void pad(size_t n);
    void clear();
};

}  // namespace dynexec
