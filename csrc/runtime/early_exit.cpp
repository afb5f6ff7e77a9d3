// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/early_exit.h"

#include <algorithm>
#include <stdexcept>

namespace dynexec {

bool operator==(const EarlyExitParams& a, const EarlyExitParams& b) {
    const auto same = [](const Exit& x, const Exit& y) { return x.head == y.head && x.segment == y.segment; };
    return std::equal(a.exits.begin(), a.exits.end(), b.exits.begin(), b.exits.end(), same) &&
           a.criterion == b.criterion && a.thresholds == b.thresholds && a.weights.weights == b.weights.weights &&
           a.weights.bias == b.weights.bias && a.prefill == b.prefill && a.copy_kv == b.copy_kv;
}

EarlyExit::EarlyExit(const EarlyExitParams& params, Backbone& backbone, size_t max_batch_tokens)
    : params_(params), policy_(params.criterion, params.weights, params.thresholds) {
    if (params.thresholds.size() != params.exits.size()) {
        throw std::invalid_argument(std::to_string(params.thresholds.size()) + " thresholds for " +
                                    std::to_string(params.exits.size()) + " exits");
    }
    if (params.copy_kv && !backbone.model().has_copiers()) {
        throw std::invalid_argument("The model has no copiers of keys and values: call add_copiers first");
    }
    for (size_t i = 0; i < params.exits.size(); ++i) {
        if (i > 0 && params.exits[i].segment <= params.exits[i - 1].segment) {
            throw std::invalid_argument("Exits must be in order of depth");
        }
    }
    for (size_t i = 0; i < params.exits.size(); ++i) {
        heads_.emplace_back();
        if (!policy_.asks(i)) continue;
        heads_.back() = std::make_unique<ExitHead>(params.exits[i], backbone, max_batch_tokens);
    }
}

bool EarlyExit::is(const EarlyExitParams& params) const { return params == params_; }

void EarlyExit::begin(const Sequence& sequence) {
    for (auto& head : heads_) {
        if (head != nullptr) head->begin(sequence);
    }
}

void EarlyExit::predict(size_t exit, const std::vector<const Sequence*>& sequences) {
    asked_ = sequences;
    words_ = heads_[exit]->predict(sequences);
}

bool EarlyExit::leaves(size_t exit, size_t i, float* row, size_t vocab) {
    const Head& head = heads_[exit]->head();
    const Sequence& sequence = *asked_[i];
    const float* words = words_ + i * head.model().vocab_size();
    auto& views = views_.at(sequence);
    // Exits that are not evaluated have no view, but keep their place.
    views.resize(exit, ExitView{{}, -1});
    const LogitsStats stats = logits_stats(words, head.model().vocab_size());
    views.push_back({stats, stats.argmax < 0 ? -1 : head.vocabulary().token(stats.argmax)});
    if (stats.argmax < 0) return false;
    if (!policy_.leaves(views, sequence.tokens.size() - 1)) return false;
    head.vocabulary().scatter(words, row, vocab);
    return true;
}

void EarlyExit::release(const Sequence& sequence) {
    views_.release(sequence);
    for (auto& head : heads_) {
        if (head != nullptr) head->release(sequence);
    }
}

}  // namespace dynexec
