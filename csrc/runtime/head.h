// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "kernels/stop_classifier.h"
#include "runtime/paged_model.h"

namespace dynexec {

// A small model that predicts tokens from the hidden states of a large one. Its vocabulary may be a part of the
// model's vocabulary.
class Head {
public:
    // `token_ids`: the token ids of its vocabulary. Throws std::invalid_argument if their number differs from the size
    // of the vocabulary.
    Head(std::shared_ptr<PagedModel> model, std::vector<int64_t> token_ids,
         std::optional<StopClassifier> stop_classifier = std::nullopt);

    PagedModel& model() const { return *model_; }
    const std::vector<int64_t>& token_ids() const { return token_ids_; }
    const std::optional<StopClassifier>& stop_classifier() const { return stop_classifier_; }

    // Throws std::invalid_argument if the head does not fit a model of that vocabulary and hidden size.
    void check_fits(size_t vocab, size_t hidden_size) const;

    // Writes its logits, [model().vocab_size()], into a row of `vocab` logits. Tokens that are not in its vocabulary
    // are impossible.
    void scatter(const float* words, float* row, size_t vocab) const;

private:
    std::shared_ptr<PagedModel> model_;
    std::vector<int64_t> token_ids_;
    std::optional<StopClassifier> stop_classifier_;
};

}  // namespace dynexec
