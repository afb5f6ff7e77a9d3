// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/draft_tokens.h"

#include <algorithm>
#include <iterator>
#include <stdexcept>

#include "kernels/logits_stats.h"

namespace dynexec {
namespace {

constexpr size_t kPositions = 8;
constexpr double kPrior = 0.75;
constexpr double kPriorWeight = 4.0;
// A head that was trained on the output of a model, and a smaller model of the same family, are almost calibrated:
// after their own draft tokens, they are slightly overconfident.
constexpr double kConfidence[] = {0.2, 0.4, 0.6, 0.8, 0.9, 0.97};
constexpr size_t kConfidences = std::size(kConfidence) + 1;
constexpr size_t kConfidencePositions = 3;
constexpr double kTrust = 0.97;

size_t context_of(double confidence) {
    return static_cast<size_t>(std::upper_bound(std::begin(kConfidence), std::end(kConfidence), confidence) -
                               std::begin(kConfidence));
}

}  // namespace

DraftTokens::DraftTokens(const DraftVocabulary& vocabulary, const StopClassifier* stop_classifier, size_t vocab,
                         float confidence_threshold, SpeculationMemory& memory, const std::string& name)
    : vocabulary_(vocabulary),
      stop_classifier_(stop_classifier),
      vocab_(vocab),
      confidence_threshold_(confidence_threshold),
      positions_(memory.acceptance(name + "/position", 1, kPositions)),
      confidences_(memory.acceptance(name + "/confidence", kConfidences, kConfidencePositions)),
      row_(vocab) {}

void DraftTokens::begin_step(const Sequence& sequence) {
    State& state = states_.get(sequence, positions_, confidences_);
    state.drafted.clear();
    state.confidence.clear();
    state.reach = 1.0;
    state.unsure = false;
}

double DraftTokens::acceptance(const Sequence& sequence, size_t position) const {
    const State& state = states_.at(sequence);
    if (position < state.drafted.size()) return acceptance_of(state, position);
    return state.by_position.estimate(0, position, kPrior, kPriorWeight);
}

double DraftTokens::acceptance_of(const State& state, size_t position) const {
    const double confidence = state.confidence[position];
    return state.by_confidence.estimate(context_of(confidence), position, kTrust * confidence, kPriorWeight);
}

bool DraftTokens::choose(const Proposer::Order& order, const float* words) {
    Sequence& sequence = *order.sequence;
    State& state = states_.at(sequence);
    const LogitsParams& params = sequence.request.logits;
    LogitsStats stats = logits_stats(words, vocabulary_.size());
    if (stats.argmax < 0) throw std::runtime_error("A draft model or head gave NaN logits");
    int64_t token = -1;
    if (params.is_identity() && vocabulary_.is_complete()) {
        token = vocabulary_.token(stats.argmax);
    } else {
        vocabulary_.scatter(words, row_.data(), vocab_);
        process_logits(row_.data(), vocab_, params, sequence.counts);
        if (!params.do_sample) {
            stats = logits_stats(row_.data(), vocab_);
            token = stats.argmax;
        } else if (softmax(row_.data(), vocab_)) {
            token = sample(row_.data(), vocab_, sequence.draft_rng);
            stats.max_prob = row_[static_cast<size_t>(token)];
        }
        // The processors have removed all tokens of the vocabulary, so there is nothing to propose.
        state.unsure = token < 0;
        if (token < 0) return false;
        if (params.do_sample) sequence.draft.probs.push_back(row_);
    }
    sequence.draft.tokens.push_back(token);
    sequence.counts.push(token);
    state.drafted.push_back(token);
    state.confidence.push_back(stats.max_prob);
    state.reach *= acceptance_of(state, state.drafted.size() - 1);
    const auto& eos = sequence.request.eos_token_ids;  // no token can follow
    if (state.drafted.size() == order.tokens || std::find(eos.begin(), eos.end(), token) != eos.end()) return false;
    double confidence = stats.max_prob;
    if (order.learned_stop && stop_classifier_ != nullptr) {
        confidence = stop_classifier_->accepted(stats.max_prob, stats.entropy, state.drafted.size() - 1);
    }
    state.unsure = state.reach < order.least_reach || confidence < static_cast<double>(confidence_threshold_);
    return !state.unsure;
}

void DraftTokens::end(const Proposer::Order& order) {
    for (const int64_t token : order.sequence->draft.tokens) order.sequence->counts.pop(token);
}

size_t DraftTokens::committed(const Sequence& sequence, size_t n) {
    State& state = states_.at(sequence);
    // Scored as far as it was drafted, not only as far as it was verified, because the tokens that followed show more.
    const int64_t* came = sequence.tokens.data() + sequence.tokens.size() - n;
    size_t position = 0;
    for (; position < std::min(n, state.drafted.size()); ++position) {
        const bool accepted = state.drafted[position] == came[position];
        state.by_confidence.observe(context_of(state.confidence[position]), position, accepted ? 1.0 : 0.0);
        state.by_position.observe(0, position, accepted ? 1.0 : 0.0);
        if (!accepted) return position;
    }
    // Such a step could not have given more tokens.
    if (state.unsure && position == state.drafted.size()) state.by_position.observe(0, position, 0.0);
    return position;
}

}  // namespace dynexec
