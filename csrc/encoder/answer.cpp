// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "encoder/answer.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/registry.h"

// One line for each answer: the file <name>_answer.cpp defines make_<name>_answer().
#define DYNEXEC_ANSWERS(ANSWER) \
    ANSWER(classes)             \
    ANSWER(embedding)           \
    ANSWER(span)                \
    ANSWER(tokens)

namespace dynexec {

using Answers = Registry<Answer>;

#define DECLARE(name) Answers::Factory make_##name##_answer;
DYNEXEC_ANSWERS(DECLARE)
#undef DECLARE

namespace {

const Answers& registry() {
#define ENTRY(name) {#name, make_##name##_answer},
    static const Answers answers("answer", {DYNEXEC_ANSWERS(ENTRY)});
#undef ENTRY
    return answers;
}

}  // namespace

bool Answer::answers(const std::vector<ExitView>& views, const std::vector<float>&) const {
    return std::all_of(views.begin(), views.end(), [](const ExitView& view) { return view.prediction >= 0; });
}

double Answer::confidence(const std::vector<ExitView>& views) const {
    double least = std::numeric_limits<double>::infinity();
    for (const ExitView& view : views) {
        // A NaN is not less than any number, but an answer that contains NaN has no confidence.
        if (view.prediction < 0) return std::numeric_limits<double>::quiet_NaN();
        least = std::min(least, static_cast<double>(view.stats.max_prob));
    }
    return views.empty() ? std::numeric_limits<double>::quiet_NaN() : least;
}

ExitView view_of(const float* logits, size_t n) {
    const LogitsStats stats = logits_stats(logits, n);
    return {stats, stats.argmax};
}

std::vector<std::string> answer_names() { return registry().names(); }

std::unique_ptr<Answer> make_answer(const std::string& name) { return registry().make(name); }

}  // namespace dynexec
