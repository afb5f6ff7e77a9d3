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

// The view of an exit on a token, or on a whole input of a classifier.
struct ExitView {
    LogitsStats stats;
    int64_t prediction;  // the token of stats.argmax, or the label; -1 if there is no distribution
    // The certainty of the exit in its answer, if it has one in addition to the distribution: see the criteria
    // "learned" and "settled".
    double certainty = std::numeric_limits<double>::quiet_NaN();
};

// Decides when a token is confident enough to exit. Mirrors optimum_dynexec/early_exit/criteria, with which thresholds
// are calibrated: both compute the same scores from the same numbers. A new criterion is a file here and a line in
// registry.cpp.
class Criterion {
public:
    virtual ~Criterion() = default;
    // The score at the last of the exits so far. `position`: position of the token in its sequence. With NaN, it
    // cannot exit.
    virtual double score(const std::vector<ExitView>& exits, size_t position) const = 0;
    // Whether a token exits with a score of at least the threshold (true) or at most the threshold (false).
    virtual bool higher_is_surer() const { return true; }
    // Whether the score depends on the previous exits.
    virtual bool looks_back() const { return false; }
    // Whether the score is ExitView::certainty.
    virtual bool needs_certainty() const { return false; }
};

// Learned weights, for criteria that have them.
struct CriterionWeights {
    std::vector<std::vector<double>> weights;  // [exits][features]
    std::vector<double> bias;                  // [exits]
};

// See registry.cpp. Throws std::invalid_argument for another name, or weights that do not fit.
std::unique_ptr<Criterion> make_criterion(const std::string& name, const CriterionWeights& weights);
std::vector<std::string> criterion_names();

// Whether a score passes a threshold; NaN passes no threshold, and no score passes an infinite threshold.
bool passes(const Criterion& criterion, double score, double threshold);

// The number of consecutive exits immediately before the last one that have its prediction.
size_t run_length(const std::vector<ExitView>& exits);

}  // namespace dynexec
