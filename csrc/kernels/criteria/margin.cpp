// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "kernels/criteria/criterion.h"

namespace dynexec {
namespace {

// The difference between the two largest probabilities (CALM, arXiv 2207.07061).
class MarginCriterion : public Criterion {
public:
    double score(const std::vector<ExitView>& exits, size_t) const override {
        return static_cast<double>(exits.back().stats.margin);
    }
};

}  // namespace

std::unique_ptr<Criterion> make_margin_criterion(const CriterionWeights&) {
    return std::make_unique<MarginCriterion>();
}

}  // namespace dynexec
