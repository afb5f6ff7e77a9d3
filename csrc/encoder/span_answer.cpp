// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "encoder/answer.h"

namespace dynexec {
namespace {

// The start and the end of the answer to a question: each output is a distribution over the tokens.
class SpanAnswer : public Answer {
public:
    std::vector<ExitView> views(const AnswerRow& row, std::vector<float>&) const override {
        std::vector<ExitView> views;
        std::vector<float> logits(row.positions.size());
        for (const float* output : row.outputs) {
            for (size_t i = 0; i < logits.size(); ++i) logits[i] = output[row.positions[i]];
            if (!logits.empty()) views.push_back(view_of(logits.data(), logits.size()));
        }
        return views;
    }
};

}  // namespace

std::unique_ptr<Answer> make_span_answer() { return std::make_unique<SpanAnswer>(); }

}  // namespace dynexec
