// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "encoder/answer.h"

namespace dynexec {
namespace {

// Hidden states, judged by how similar their mean over the tokens is to the mean at the exit before (cosine).
class EmbeddingAnswer : public Answer {
public:
    std::vector<ExitView> views(const AnswerRow& row, std::vector<float>& before) const override {
        constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
        std::vector<float> mean(row.places == 0 ? 0 : row.sizes[0] / row.places);
        for (const size_t position : row.positions) {
            const float* token = row.outputs[0] + position * mean.size();
            for (size_t i = 0; i < mean.size(); ++i) mean[i] += token[i];
        }
        // There is no distribution, so nothing exits by a criterion that needs one.
        ExitView view{{-1, kNaN, kNaN, kNaN, kNaN, kNaN}, -1};
        if (!before.empty() && before.size() == mean.size()) {
            double product = 0.0, norm = 0.0, norm_before = 0.0;
            for (size_t i = 0; i < mean.size(); ++i) {
                product += static_cast<double>(mean[i]) * static_cast<double>(before[i]);
                norm += static_cast<double>(mean[i]) * static_cast<double>(mean[i]);
                norm_before += static_cast<double>(before[i]) * static_cast<double>(before[i]);
            }
            view.certainty = product / std::sqrt(norm * norm_before);
        }
        before = std::move(mean);
        return {view};
    }
    bool answers(const std::vector<ExitView>&, const std::vector<float>& embedding) const override {
        return std::all_of(embedding.begin(), embedding.end(), [](float value) { return std::isfinite(value); });
    }
    bool says_certainty() const override { return true; }
    double confidence(const std::vector<ExitView>& views) const override { return views[0].certainty; }
};

}  // namespace

std::unique_ptr<Answer> make_embedding_answer() { return std::make_unique<EmbeddingAnswer>(); }

}  // namespace dynexec
