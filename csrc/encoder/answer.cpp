// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "encoder/answer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <stdexcept>

namespace dynexec {
namespace {

using Factory = std::unique_ptr<Answer> (*)();

const std::map<std::string, Factory>& registry() {
    static const std::map<std::string, Factory> factories = {
        {"classes", make_classes_answer},
        {"embedding", make_embedding_answer},
        {"span", make_span_answer},
        {"tokens", make_tokens_answer},
    };
    return factories;
}

}  // namespace

bool Answer::answers(const std::vector<ExitView>& views, const std::vector<float>&) const {
    return std::all_of(views.begin(), views.end(), [](const ExitView& view) { return view.prediction >= 0; });
}

double Answer::confidence(const std::vector<ExitView>& views) const {
    double least = std::numeric_limits<double>::infinity();
    for (const ExitView& view : views) {
        // A NaN is not less than anything, but an answer with one in it is not sure at all.
        if (view.prediction < 0) return std::numeric_limits<double>::quiet_NaN();
        least = std::min(least, static_cast<double>(view.stats.max_prob));
    }
    return views.empty() ? std::numeric_limits<double>::quiet_NaN() : least;
}

ExitView view_of(const float* logits, size_t n) {
    const LogitsStats stats = logits_stats(logits, n);
    return {stats, stats.argmax};
}

std::vector<std::string> answer_names() {
    std::vector<std::string> names;
    for (const auto& [name, factory] : registry()) names.push_back(name);
    return names;
}

std::unique_ptr<Answer> make_answer(const std::string& name) {
    const auto found = registry().find(name);
    if (found == registry().end()) throw std::invalid_argument("Unknown answer '" + name + "'");
    return found->second();
}

}  // namespace dynexec
