// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "kernels/criteria/criterion.h"

namespace dynexec {
namespace {

// How similar the embedding is to that of the exit before: the cosine of the two.
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
