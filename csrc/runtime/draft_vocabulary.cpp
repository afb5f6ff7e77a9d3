// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/draft_vocabulary.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

namespace dynexec {

DraftVocabulary::DraftVocabulary(std::vector<int64_t> token_ids) : token_ids_(std::move(token_ids)) {
    if (token_ids_.empty()) throw std::invalid_argument("The vocabulary of a draft has no tokens");
    std::vector<int64_t> sorted = token_ids_;
    if (!std::is_sorted(sorted.begin(), sorted.end())) std::sort(sorted.begin(), sorted.end());
    if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) {
        throw std::invalid_argument("Two entries of the vocabulary of a draft have the same token id");
    }
}

void DraftVocabulary::check_fits(size_t vocab) const {
    const auto [least, largest] = std::minmax_element(token_ids_.begin(), token_ids_.end());
    if (*least < 0 || *largest >= static_cast<int64_t>(vocab)) {
        throw std::invalid_argument("The vocabulary of a draft has token ids from " + std::to_string(*least) + " to " +
                                    std::to_string(*largest) + ", but the model's vocabulary has ids 0 to " +
                                    std::to_string(vocab - 1));
    }
}

void DraftVocabulary::scatter(const float* words, float* row, size_t vocab) const {
    std::fill(row, row + vocab, -std::numeric_limits<float>::infinity());
    for (size_t word = 0; word < token_ids_.size(); ++word) row[token_ids_[word]] = words[word];
}

}  // namespace dynexec
