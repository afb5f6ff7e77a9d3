// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "kernels/criteria/criterion.h"

namespace dynexec {
namespace {

// The similarity of the embedding to that of the previous exit: the cosine of the two.
class SettledCriterion : public Criterion {
public:
    double score(const std::vector<ExitView>& exits, size_t) const override { return exits.back().certainty; }
    bool needs_certainty() const override { return true; }
    bool looks_back() const override { return true; }
};

}  // namespace

std::unique_ptr<Criterion> make_settled_criterion(const CriterionWeights&) {
    return std::make_unique<SettledCriterion>();
}

}  // namespace dynexec
