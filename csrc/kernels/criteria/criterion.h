// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "kernels/logits_stats.h"

namespace dynexec {

// What an exit says about a token, or a whole input of a classifier.
struct ExitView {
    LogitsStats stats;
    int64_t prediction;  // the token behind stats.argmax, or the label; -1 if there is no distribution
    // What the exit says of its answer beside the distribution, if anything: see the criteria "learned" and "settled".
    double certainty = std::numeric_limits<double>::quiet_NaN();
};

// When a token is sure enough to leave the model. Mirrors optimum_dynexec/early_exit/criteria, by which thresholds are
// calibrated: both give the same score to the same numbers. A new criterion is a file here and a line in registry.cpp.
class Criterion {
public:
    virtual ~Criterion() = default;
    // At the last of the exits that were looked at; `position`: of the token in its sequence. NaN: it cannot leave.
    virtual double score(const std::vector<ExitView>& exits, size_t position) const = 0;
    // Whether a token leaves with a score of at least the threshold, or else of at most the threshold.
    virtual bool higher_is_surer() const { return true; }
    // Whether the score depends on the exits before.
    virtual bool looks_back() const { return false; }
    // Whether the score is what the exit says of itself, ExitView::certainty.
    virtual bool needs_certainty() const { return false; }
};

// Learned weights, for criteria that have some.
struct CriterionWeights {
    std::vector<std::vector<double>> weights;  // [exits][features]
    std::vector<double> bias;                  // [exits]
};

// See registry.cpp. Throws std::invalid_argument for another name, or weights that do not fit.
std::unique_ptr<Criterion> make_criterion(const std::string& name, const CriterionWeights& weights);
std::vector<std::string> criterion_names();

// Whether a score passes a threshold; NaN passes none, and an infinite threshold lets nothing pass.
bool passes(const Criterion& criterion, double score, double threshold);

// How many exits right before the last one have its prediction.
size_t run_length(const std::vector<ExitView>& exits);

}  // namespace dynexec
