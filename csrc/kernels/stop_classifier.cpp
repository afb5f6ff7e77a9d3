// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "kernels/stop_classifier.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace dynexec {
namespace {

constexpr double kSmallestProb = 1e-6;

}  // namespace

StopClassifier::StopClassifier(const std::vector<double>& weights) : weights_(weights) {
    const auto finite = [](double weight) { return std::isfinite(weight); };
    if (weights.size() != 4 || !std::all_of(weights.begin(), weights.end(), finite)) {
        throw std::invalid_argument("A stop classifier needs 3 weights and a bias, all finite");
    }
}

double StopClassifier::accepted(double prob, double entropy, size_t position) const {
    const double sum = weights_[0] * std::log(std::max(prob, kSmallestProb)) + weights_[1] * entropy +
                       weights_[2] * static_cast<double>(position) + weights_[3];
    return 1.0 / (1.0 + std::exp(-sum));
}

}  // namespace dynexec
