// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

namespace dynexec::names {

// The inputs and outputs by which C++ finds its way in the models that Python makes. Python reads them from `_C`.

// Of a decoder, see FlatBatch.
inline constexpr char kInputIds[] = "input_ids";
inline constexpr char kPositionIds[] = "position_ids";
inline constexpr char kPastLens[] = "past_lens";
inline constexpr char kSubsequenceBegins[] = "subsequence_begins";
inline constexpr char kBlockIndices[] = "block_indices";
inline constexpr char kBlockIndicesBegins[] = "block_indices_begins";
inline constexpr char kMaxContextLen[] = "max_context_len";
inline constexpr char kKeyCache[] = "key_cache.";      // followed by a number
inline constexpr char kValueCache[] = "value_cache.";  // followed by a number
inline constexpr char kLogitsIndices[] = "dynexec.logits_indices";
// Of a decoder whose PagedAttention may see more rows than its products, see AttentionRows.
inline constexpr char kAttentionRows[] = "dynexec.attention_rows";
inline constexpr char kKeptRows[] = "dynexec.kept_rows";
// What a segment or a head takes, and gives: the hidden states between layers.
inline constexpr char kHiddenStates[] = "dynexec.hidden_states";
// Of a decoder with a draft head: what its unembedding reads.
inline constexpr char kLastHiddenStates[] = "dynexec.last_hidden_states";

// Of an encoder: which places of a sequence hold tokens.
inline constexpr char kAttentionMask[] = "attention_mask";
// Of an exit head of an encoder that has learned how sure it is of its answer.
inline constexpr char kCertainty[] = "dynexec.certainty";

}  // namespace dynexec::names
