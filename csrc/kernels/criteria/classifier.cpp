// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "kernels/criteria/criterion.h"

namespace dynexec {
namespace {

constexpr size_t kFeatures = 6;
constexpr double kSmallestEntropy = 1e-6;

// A logistic regression on the features of the other criteria: the probability that exiting here is correct.
class ClassifierCriterion : public Criterion {
public:
    explicit ClassifierCriterion(const CriterionWeights& weights) : weights_(weights) {
        const auto fits = [](const std::vector<double>& row) { return row.size() == kFeatures; };
        if (weights.weights.empty() || weights.weights.size() != weights.bias.size() ||
            !std::all_of(weights.weights.begin(), weights.weights.end(), fits)) {
            throw std::invalid_argument("The criterion 'classifier' needs 6 weights and a bias for each exit");
        }
    }

    double score(const std::vector<ExitView>& exits, size_t position) const override {
        const LogitsStats& stats = exits.back().stats;
        const double entropy = static_cast<double>(stats.entropy);
        const double features[kFeatures] = {
            static_cast<double>(stats.max_prob),
            static_cast<double>(stats.margin),
            entropy,
            std::log(std::max(entropy, kSmallestEntropy)),
            static_cast<double>(run_length(exits)),
            std::log1p(static_cast<double>(position)),
        };
        const size_t exit = exits.size() - 1;
        double sum = weights_.bias[exit];
        for (size_t i = 0; i < kFeatures; ++i) sum += weights_.weights[exit][i] * features[i];
        return 1.0 / (1.0 + std::exp(-sum));
    }
    bool looks_back() const override { return true; }

private:
    CriterionWeights weights_;
};

}  // namespace

std::unique_ptr<Criterion> make_classifier_criterion(const CriterionWeights& weights) {
    return std::make_unique<ClassifierCriterion>(weights);
}

}  // namespace dynexec
