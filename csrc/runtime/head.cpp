// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/head.h"

#include <algorithm>
#include <limits>
#include <set>
#include <stdexcept>
#include <string>

namespace dynexec {

Head::Head(std::shared_ptr<PagedModel> model, std::vector<int64_t> token_ids,
           std::optional<StopClassifier> stop_classifier)
    : model_(std::move(model)), token_ids_(std::move(token_ids)), stop_classifier_(std::move(stop_classifier)) {
    if (token_ids_.size() != model_->vocab_size()) {
        throw std::invalid_argument("Head: " + std::to_string(token_ids_.size()) + " token ids for " +
                                    std::to_string(model_->vocab_size()) + " entries of the vocabulary");
    }
    if (std::set<int64_t>(token_ids_.begin(), token_ids_.end()).size() != token_ids_.size()) {
        throw std::invalid_argument("Head: two entries of the vocabulary have the same token id");
    }
    if (model_->input_hidden_size() == 0) throw std::invalid_argument("Head: the model takes no hidden states");
}

void Head::check_fits(size_t vocab, size_t hidden_size) const {
    if (model_->input_hidden_size() != hidden_size) {
        throw std::invalid_argument("The head takes " + std::to_string(model_->input_hidden_size()) +
                                    " hidden states for each token, but the model has " + std::to_string(hidden_size));
    }
    const auto [least, largest] = std::minmax_element(token_ids_.begin(), token_ids_.end());
    if (*least < 0 || *largest >= static_cast<int64_t>(vocab)) {
        throw std::invalid_argument("The head has token ids from " + std::to_string(*least) + " to " +
                                    std::to_string(*largest) + ", but the model's vocabulary has ids 0 to " +
                                    std::to_string(vocab - 1));
    }
}

void Head::scatter(const float* words, float* row, size_t vocab) const {
    std::fill(row, row + vocab, -std::numeric_limits<float>::infinity());
    for (size_t word = 0; word < token_ids_.size(); ++word) row[token_ids_[word]] = words[word];
}

}  // namespace dynexec
