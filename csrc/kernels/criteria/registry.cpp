// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <cmath>
#include <map>
#include <stdexcept>

#include "kernels/criteria/criterion.h"

namespace dynexec {
namespace {

using Factory = std::unique_ptr<Criterion> (*)(const CriterionWeights&);

const std::map<std::string, Factory>& registry() {
    static const std::map<std::string, Factory> factories = {
        {"classifier", make_classifier_criterion}, {"entropy", make_entropy_criterion},
        {"learned", make_learned_criterion},       {"margin", make_margin_criterion},
        {"max_prob", make_max_prob_criterion},     {"patience", make_patience_criterion},
        {"settled", make_settled_criterion},       {"vote", make_vote_criterion},
    };
    return factories;
}

}  // namespace

std::vector<std::string> criterion_names() {
    std::vector<std::string> names;
    for (const auto& [name, factory] : registry()) names.push_back(name);
    return names;
}

std::unique_ptr<Criterion> make_criterion(const std::string& name, const CriterionWeights& weights) {
    const auto found = registry().find(name);
    if (found == registry().end()) throw std::invalid_argument("Unknown exit criterion '" + name + "'");
    return found->second(weights);
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
