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
    std::vector<int64_t> logits_indices;  // [rows]: the tokens whose logits are computed
    // [tokens, hidden size]: the input of a model that reads the hidden states of another model. The caller appends
    // them.
    std::vector<float> hidden_states;

    // Whether the pass has tokens whose logits are not needed, usually those of a prompt. The time of such a pass says
    // little about other passes.
    bool has_backlog = false;

    // The number of rows that a step may leave over for a draft source. More rows are a backlog, usually from a prompt.
    static constexpr size_t kRowsOfAStep = 8;

    size_t tokens() const { return input_ids.size(); }

    // Appends `n` tokens of a sequence that has `past` tokens in the cache; requests the logits of the last
    // `logits_rows` tokens.
    void add(const int64_t* ids, size_t n, size_t past, const std::vector<int32_t>& blocks, size_t logits_rows);
    // Appends `n` padding tokens after those of the last sequence. The next tokens overwrite their places in the cache.
    // `with_logits`: whether to request their logits too, which are meaningless.
    void pad(size_t n, bool with_logits = true);
    void clear();
};

}  // namespace dynexec
