// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "kernels/stop_classifier.h"
#include "runtime/draft_vocabulary.h"
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
    const DraftVocabulary& vocabulary() const { return vocabulary_; }
    // May be null.
    const StopClassifier* stop_classifier() const { return stop_classifier_ ? &*stop_classifier_ : nullptr; }

    // Throws std::invalid_argument if the head does not fit a model of that vocabulary and hidden size.
    void check_fits(size_t vocab, size_t hidden_size) const;

private:
    std::shared_ptr<PagedModel> model_;
    DraftVocabulary vocabulary_;
    std::optional<StopClassifier> stop_classifier_;
};

}  // namespace dynexec
