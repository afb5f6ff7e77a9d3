// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "kernels/criteria/criterion.h"

namespace dynexec {
namespace {

// The certainty of the exit's head in its own answer, as learned: the probability that the answer is right (BERxiT,
// Xin et al. 2021, doi 10.18653/v1/2021.eacl-main.8).
class LearnedCriterion : public Criterion {
public:
    double score(const std::vector<ExitView>& exits, size_t) const override { return exits.back().certainty; }
    bool needs_certainty() const override { return true; }
};

}  // namespace

std::unique_ptr<Criterion> make_learned_criterion(const CriterionWeights&) {
    return std::make_unique<LearnedCriterion>();
}

}  // namespace dynexec
