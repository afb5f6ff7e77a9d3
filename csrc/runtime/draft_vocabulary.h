// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dynexec {

// The words that a head or a draft model can propose, and the tokens of the target that they are. It may be a part of
// the target's vocabulary (FR-Spec, https://arxiv.org/abs/2502.14856), or belong to another tokenizer, of which only
// the words that the target has too can be proposed (https://arxiv.org/abs/2502.05202).
class DraftVocabulary {
public:
    static constexpr int64_t kNoToken = -1;

    // `token_ids`: the token of each word, or kNoToken. `spellings`: for each token of the target, the words with which
    // the draft model reads it; empty: a token is the word of the same number. Throws std::invalid_argument if two
    // words are the same token, there is no token, or a spelling has a word that does not exist.
    explicit DraftVocabulary(std::vector<int64_t> token_ids, const std::vector<std::vector<int64_t>>& spellings = {});

    size_t size() const { return token_ids_.size(); }
    const std::vector<int64_t>& token_ids() const { return token_ids_; }
    int64_t token(int64_t word) const { return token_ids_[static_cast<size_t>(word)]; }
    // Whether each word is a token.
    bool is_complete() const { return complete_; }

    // Appends the words with which the draft model reads a token.
    void spell(int64_t token, std::vector<int64_t>& words) const;

    // Throws std::invalid_argument if a token is not in a vocabulary of that size.
    void check_fits(size_t vocab) const;

    // Writes logits of words, [size()], into a row of `vocab` logits. Other tokens are impossible.
    void scatter(const float* words, float* row, size_t vocab) const;

private:
    std::vector<int64_t> token_ids_;
    bool complete_;
    // The words of all spellings, and where each spelling begins; the last number is the end.
    std::vector<int64_t> spelled_;
    std::vector<size_t> begins_;
};

}  // namespace dynexec
