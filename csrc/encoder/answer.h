// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/criteria/criterion.h"

namespace dynexec {

// What an exit, or the whole model, says about one sample: a row of each of its outputs.
struct AnswerRow {
    std::vector<const float*> outputs;
    std::vector<size_t> sizes;      // floats in each
    size_t places = 0;              // of its sequence, padding included
    std::vector<size_t> positions;  // those that hold tokens, ascending
};

// How a task's outputs are distributions that a criterion can judge. A new one is a file here and a line in
// answer.cpp.
class Answer {
public:
    virtual ~Answer() = default;
    // One view for each distribution; their number is the same at all exits. `before`: the row's embedding at the exit
    // before, in and out; empty at the first. Only answers that are embeddings use it.
    virtual std::vector<ExitView> views(const AnswerRow& row, std::vector<float>& before) const = 0;
    // Whether the views come with a certainty.
    virtual bool says_certainty() const { return false; }
    // Whether there is an answer at all, and not NaN. `embedding`: as views() left it.
    virtual bool answers(const std::vector<ExitView>& views, const std::vector<float>& embedding) const;
    // How sure a sample is of its answer that has these views: the least of its distributions.
    virtual double confidence(const std::vector<ExitView>& views) const;
};

// Registry: "classes" (one distribution over labels), "tokens" (one for each token), "span" (where it starts and where
// it ends), "embedding". Throws std::invalid_argument for another name.
std::unique_ptr<Answer> make_answer(const std::string& name);
std::vector<std::string> answer_names();

// Judges one row of logits.
ExitView view_of(const float* logits, size_t n);

}  // namespace dynexec
