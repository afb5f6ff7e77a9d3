// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dynexec {

// The words that a head or a draft model can propose, and the tokens of the target that they are. It may be a part of
// the target's vocabulary (FR-Spec, https://arxiv.org/abs/2502.14856).
class DraftVocabulary {
public:
    // The token of each word. Throws std::invalid_argument if two words are the same token, or there is none.
    explicit DraftVocabulary(std::vector<int64_t> token_ids);

    size_t size() const { return token_ids_.size(); }
    const std::vector<int64_t>& token_ids() const { return token_ids_; }
    int64_t token(int64_t word) const { return token_ids_[static_cast<size_t>(word)]; }

    // Throws std::invalid_argument if a token is not in a vocabulary of that size.
    void check_fits(size_t vocab) const;

    // Writes logits of words, [size()], into a row of `vocab` logits. Other tokens are impossible.
    void scatter(const float* words, float* row, size_t vocab) const;

private:
    std::vector<int64_t> token_ids_;
};

}  // namespace dynexec
