// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/head.h"

#include <stdexcept>
#include <string>

namespace dynexec {

Head::Head(std::shared_ptr<PagedModel> model, std::vector<int64_t> token_ids,
           std::optional<StopClassifier> stop_classifier)
    : model_(std::move(model)), vocabulary_(std::move(token_ids)), stop_classifier_(std::move(stop_classifier)) {
    if (vocabulary_.size() != model_->vocab_size()) {
        throw std::invalid_argument("Head: " + std::to_string(vocabulary_.size()) + " token ids for " +
                                    std::to_string(model_->vocab_size()) + " entries of the vocabulary");
    }
    if (!vocabulary_.is_complete()) throw std::invalid_argument("Head: token ids must be from 0, got -1");
    if (model_->input_hidden_size() == 0) throw std::invalid_argument("Head: the model takes no hidden states");
}

void Head::check_fits(size_t vocab, size_t hidden_size) const {
    if (model_->input_hidden_size() != hidden_size) {
        throw std::invalid_argument("The head takes " + std::to_string(model_->input_hidden_size()) +
                                    " hidden states for each token, but the model has " + std::to_string(hidden_size));
    }
    vocabulary_.check_fits(vocab);
}

}  // namespace dynexec
