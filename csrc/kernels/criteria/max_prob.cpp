// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "kernels/criteria/criterion.h"

namespace dynexec {
namespace {

// The largest probability (Shallow-Deep Networks, arXiv 1810.07052).
class MaxProbCriterion : public Criterion {
public:
    double score(const std::vector<ExitView>& exits, size_t) const override {
        return static_cast<double>(exits.back().stats.max_prob);
    }
};

}  // namespace

std::unique_ptr<Criterion> make_max_prob_criterion(const CriterionWeights&) {
    return std::make_unique<MaxProbCriterion>();
}

}  // namespace dynexec
