// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "kernels/registry.h"

#include <cmath>

#include "kernels/criteria/criterion.h"

// One line for each criterion. A file in this directory defines make_<name>_criterion(const CriterionWeights&).
#define DYNEXEC_CRITERIA(CRITERION) \
    CRITERION(classifier)           \
    CRITERION(entropy)              \
    CRITERION(learned)              \
    CRITERION(margin)               \
    CRITERION(max_prob)             \
    CRITERION(patience)             \
    CRITERION(settled)              \
    CRITERION(vote)

namespace dynexec {

using Criteria = Registry<Criterion, const CriterionWeights&>;

#define DECLARE(name) Criteria::Factory make_##name##_criterion;
DYNEXEC_CRITERIA(DECLARE)
#undef DECLARE

namespace {

const Criteria& registry() {
#define ENTRY(name) {#name, make_##name##_criterion},
    static const Criteria criteria("exit criterion", {DYNEXEC_CRITERIA(ENTRY)});
#undef ENTRY
    return criteria;
}

}  // namespace

std::vector<std::string> criterion_names() { return registry().names(); }

std::unique_ptr<Criterion> make_criterion(const std::string& name, const CriterionWeights& weights) {
    return registry().make(name, weights);
}

bool passes(const Criterion& criterion, double score, double threshold) {
    if (!std::isfinite(threshold)) return false;
    return criterion.higher_is_surer() ? score >= threshold : score <= threshold;
}

size_t run_length(const std::vector<ExitView>& exits) {
    const int64_t prediction = exits.back().prediction;
    size_t length = 0;
    while (prediction >= 0 && length + 1 < exits.size() && exits[exits.size() - 2 - length].prediction == prediction) {
        ++length;
    }
    return length;
}

}  // namespace dynexec
