// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "encoder/answer.h"

namespace dynexec {
namespace {

// A distribution over labels for each token. The sentence exits when all of them are confident (Li et al. 2021, arXiv
// 2105.13878: the sentence-level way, SENTEE).
class TokensAnswer : public Answer {
public:
    std::vector<ExitView> views(const AnswerRow& row, std::vector<float>&) const override {
        std::vector<ExitView> views;
        if (row.places == 0) return views;
        const size_t labels = row.sizes[0] / row.places;
        for (const size_t position : row.positions)
            views.push_back(view_of(row.outputs[0] + position * labels, labels));
        return views;
    }
};

}  // namespace

std::unique_ptr<Answer> make_tokens_answer() { return std::make_unique<TokensAnswer>(); }

}  // namespace dynexec
