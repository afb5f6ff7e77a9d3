// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/draft_vocabulary.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

namespace dynexec {

DraftVocabulary::DraftVocabulary(std::vector<int64_t> token_ids, const std::vector<std::vector<int64_t>>& spellings)
    : token_ids_(std::move(token_ids)) {
    std::vector<int64_t> sorted = token_ids_;
    sorted.erase(std::remove(sorted.begin(), sorted.end(), kNoToken), sorted.end());
    complete_ = sorted.size() == token_ids_.size();
    if (!std::is_sorted(sorted.begin(), sorted.end())) std::sort(sorted.begin(), sorted.end());
    if (sorted.empty()) throw std::invalid_argument("The vocabulary of a draft has no tokens");
    if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) {
        throw std::invalid_argument("Two entries of the vocabulary of a draft have the same token id");
    }
    if (spellings.empty()) return;
    for (const auto& words : spellings) {
        begins_.push_back(spelled_.size());
        spelled_.insert(spelled_.end(), words.begin(), words.end());
    }
    begins_.push_back(spelled_.size());
    const auto is_word = [this](int64_t word) { return word >= 0 && word < static_cast<int64_t>(size()); };
    if (!std::all_of(spelled_.begin(), spelled_.end(), is_word)) {
        throw std::invalid_argument("The vocabulary of a draft has words 0 to " + std::to_string(size() - 1) +
                                    ", but a token is spelled with others");
    }
}

void DraftVocabulary::spell(int64_t token, std::vector<int64_t>& words) const {
    if (begins_.empty()) {
        words.push_back(token);
        return;
    }
    const auto index = static_cast<size_t>(token);
    if (index + 1 >= begins_.size()) return;  // a token of the target's padded vocabulary
    const auto begin = spelled_.begin();
    words.insert(words.end(), begin + static_cast<std::ptrdiff_t>(begins_[index]),
                 begin + static_cast<std::ptrdiff_t>(begins_[index + 1]));
}

void DraftVocabulary::check_fits(size_t vocab) const {
    const auto [least, largest] = std::minmax_element(token_ids_.begin(), token_ids_.end());
    if (*least < kNoToken || *largest >= static_cast<int64_t>(vocab)) {
        throw std::invalid_argument("The vocabulary of a draft has token ids from " + std::to_string(*least) + " to " +
                                    std::to_string(*largest) + ", but the model's vocabulary has ids 0 to " +
                                    std::to_string(vocab - 1));
    }
}

void DraftVocabulary::scatter(const float* words, float* row, size_t vocab) const {
    std::fill(row, row + vocab, -std::numeric_limits<float>::infinity());
    for (size_t word = 0; word < token_ids_.size(); ++word) {
        if (token_ids_[word] != kNoToken) row[token_ids_[word]] = words[word];
    }
}

}  // namespace dynexec
