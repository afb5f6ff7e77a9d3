// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <vector>

namespace dynexec {

// A logistic regression that predicts the probability that the token that a head has just drafted is accepted, if all
// tokens before it are accepted. A draft ends where the probability is too small (DISCO, arXiv 2405.04304). Mirrors
// optimum_dynexec/training/decoder/stop_classifier.py, which fits it.
class StopClassifier {
public:
    // `weights`: the weights of the logarithm of the token's probability, of the entropy of the head's distribution in
    // nats, and of the position in the draft, from 0; then the bias. Throws std::invalid_argument if their number is
    // not 4, or one is not finite.
    explicit StopClassifier(const std::vector<double>& weights);

    double accepted(double prob, double entropy, size_t position) const;

private:
    std::vector<double> weights_;
};

}  // namespace dynexec
