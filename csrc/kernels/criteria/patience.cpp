// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "kernels/criteria/criterion.h"

namespace dynexec {
namespace {

// The number of consecutive exits that agree (PABEE, arXiv 2006.04152).
class PatienceCriterion : public Criterion {
public:
    double score(const std::vector<ExitView>& exits, size_t) const override {
        return static_cast<double>(run_length(exits));
    }
    bool looks_back() const override { return true; }
};

}  // namespace

std::unique_ptr<Criterion> make_patience_criterion(const CriterionWeights&) {
    return std::make_unique<PatienceCriterion>();
}

}  // namespace dynexec
