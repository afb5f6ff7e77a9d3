// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "kernels/criteria/criterion.h"

namespace dynexec {
namespace {

// The number of exits so far, including the last one, with the prediction of the last one: the votes of the ensemble
// for it (Sun et al. 2021, arXiv 2105.13792, with its lambda = 0).
class VoteCriterion : public Criterion {
public:
    double score(const std::vector<ExitView>& exits, size_t) const override {
        const int64_t prediction = exits.back().prediction;
        double votes = 0.0;
        for (const ExitView& exit : exits) votes += prediction >= 0 && exit.prediction == prediction ? 1.0 : 0.0;
        return votes;
    }
    bool looks_back() const override { return true; }
};

}  // namespace

std::unique_ptr<Criterion> make_vote_criterion(const CriterionWeights&) { return std::make_unique<VoteCriterion>(); }

}  // namespace dynexec
