// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <vector>

namespace dynexec {

// A logistic regression that says how probable it is that the token a head has just drafted is accepted, if all before
// it are: a draft ends where it says too little (DISCO, arXiv 2405.04304). Mirrors
// optimum_dynexec/heads/stop_classifier.py, which fits it.
class StopClassifier {
public:
    // `weights`: of the logarithm of the token's probability, the entropy of the head's distribution in nats, and the
    // position in the draft, 0 at first; then the bias. Throws std::invalid_argument if there are not 4, or one is not
    // finite.
    explicit StopClassifier(const std::vector<double>& weights);

    double accepted(double prob, double entropy, size_t position) const;

private:
    std::vector<double> weights_;
};

}  // namespace dynexec
