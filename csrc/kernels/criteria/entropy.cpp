// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "kernels/criteria/criterion.h"

namespace dynexec {
namespace {

// The entropy of the distribution, in nats (BranchyNet, arXiv 1709.01686).
class EntropyCriterion : public Criterion {
public:
    double score(const std::vector<ExitView>& exits, size_t) const override {
        return static_cast<double>(exits.back().stats.entropy);
    }
    bool higher_is_surer() const override { return false; }
};

}  // namespace

std::unique_ptr<Criterion> make_entropy_criterion(const CriterionWeights&) {
    return std::make_unique<EntropyCriterion>();
}

}  // namespace dynexec
