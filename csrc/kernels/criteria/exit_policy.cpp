// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "kernels/criteria/exit_policy.h"

#include <cmath>
#include <utility>

namespace dynexec {

ExitPolicy::ExitPolicy(const std::string& criterion, const CriterionWeights& weights, std::vector<double> thresholds)
    : criterion_(make_criterion(criterion, weights)), thresholds_(std::move(thresholds)) {
    for (size_t i = 0; i < thresholds_.size(); ++i) {
        if (std::isfinite(thresholds_[i])) deepest_ = i + 1;
    }
}

bool ExitPolicy::asks(size_t exit) const {
    return exit < deepest_ && (std::isfinite(thresholds_[exit]) || criterion_->looks_back());
}

bool ExitPolicy::leaves(const std::vector<ExitView>& exits, size_t position) const {
    return passes(*criterion_, criterion_->score(exits, position), thresholds_[exits.size() - 1]);
}

}  // namespace dynexec
