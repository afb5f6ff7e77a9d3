// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/criteria/criterion.h"

namespace dynexec {

// The outputs of an exit or of the whole model for one sample: a row of each output.
struct AnswerRow {
    std::vector<const float*> outputs;
    std::vector<size_t> sizes;      // number of floats in each row
    size_t places = 0;              // length of its sequence, including padding
    std::vector<size_t> positions;  // positions with tokens, ascending
};

// Maps the outputs of a task to distributions that a criterion can judge. A new answer is a file here and a line in
// answer.cpp.
class Answer {
public:
    virtual ~Answer() = default;
    // One view for each distribution; their number is the same at all exits. `before`: the embedding of the row at the
    // previous exit, read and replaced; empty at the first exit. Only answers that are embeddings use it.
    virtual std::vector<ExitView> views(const AnswerRow& row, std::vector<float>& before) const = 0;
    // Whether the views come with a certainty.
    virtual bool says_certainty() const { return false; }
    // Whether there is an answer, without NaN. `embedding`: the value after views().
    virtual bool answers(const std::vector<ExitView>& views, const std::vector<float>& embedding) const;
    // The confidence of a sample in the answer with these views: the smallest one over its distributions.
    virtual double confidence(const std::vector<ExitView>& views) const;
};

// Registry: "classes" (one distribution over labels), "tokens" (one for each token), "span" (where it starts and where
// it ends), "embedding". Throws std::invalid_argument for another name.
std::unique_ptr<Answer> make_answer(const std::string& name);
std::vector<std::string> answer_names();

// Judges one row of logits.
ExitView view_of(const float* logits, size_t n);

}  // namespace dynexec
