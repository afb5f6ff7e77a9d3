// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <algorithm>
#include <array>

#include "kernels/suffix_automaton.h"
#include "runtime/acceptance.h"
#include "runtime/per_sequence.h"
#include "runtime/proposer.h"
#include "runtime/text_memory.h"

namespace dynexec {
namespace {

// The context of a draft token: the length of the suffix that it followed, its share of all tokens that followed this
// suffix, whether a longer suffix has occurred too, and whether it is from this text.
constexpr std::array<size_t, 7> kLengths = {1, 2, 3, 4, 7, 15, SIZE_MAX};  // the longest of each class
constexpr size_t kShares = 5;
constexpr size_t kLevels = 2;
constexpr size_t kContexts = 2 * kLevels * kLengths.size() * kShares;
constexpr size_t kPositions = 2;  // the first token, and the later ones
constexpr double kPriorWeight = 8.0;
// Shorter suffixes that are tried where the longest one promises little.
constexpr size_t kShorter = 4;
// The tokens of a prompt that are remembered with the output, so that its beginning is found.
constexpr size_t kRememberedPrompt = 64;

size_t class_of_length(size_t length) {
    return static_cast<size_t>(std::lower_bound(kLengths.begin(), kLengths.end(), length) - kLengths.begin());
}

size_t class_of_share(const SuffixAutomaton::Next& next) {
    if (next.total == 1) return 0;
    const double share = static_cast<double>(next.count) / next.total;
    if (share < 0.5) return 1;
    if (share < 0.8) return 2;
    return next.total < 4 ? 3 : 4;
}

size_t context_of(size_t length, const SuffixAutomaton::Next& next, size_t level, bool own) {
    const size_t place = (own ? 0 : kLevels) + std::min(level, kLevels - 1);
    return (place * kLengths.size() + class_of_length(length)) * kShares + class_of_share(next);
}

// The acceptance before anything is observed: the share of right tokens in 100 greedy answers of SmolLM2-135M-Instruct
// to instructions, mathematics and code editing. First for drafts from the text itself, then for drafts from the other
// answers.
constexpr double kPriors[2 * kLevels][kLengths.size()][kShares] = {
    {{0.33, 0.15, 0.21, 0.58, 0.70},
     {0.57, 0.24, 0.31, 0.81, 0.86},
     {0.69, 0.15, 0.29, 0.80, 0.90},
     {0.75, 0.20, 0.40, 0.85, 0.85},
     {0.82, 0.20, 0.35, 0.88, 0.88},
     {0.86, 0.20, 0.55, 0.91, 0.95},
     {0.97, 0.30, 0.55, 0.98, 0.98}},
    {{0.30, 0.26, 0.46, 0.90, 0.92},
     {0.30, 0.26, 0.38, 0.94, 0.97},
     {0.30, 0.28, 0.38, 0.95, 0.97},
     {0.30, 0.28, 0.45, 0.95, 0.97},
     {0.30, 0.35, 0.50, 0.95, 0.98},
     {0.30, 0.40, 0.50, 0.97, 0.98},
     {0.30, 0.50, 0.70, 0.98, 0.98}},
    {{0.12, 0.10, 0.10, 0.21, 0.27},
     {0.23, 0.15, 0.30, 0.38, 0.45},
     {0.27, 0.13, 0.16, 0.34, 0.45},
     {0.40, 0.12, 0.20, 0.55, 0.50},
     {0.42, 0.18, 0.45, 0.45, 0.50},
     {0.58, 0.24, 0.50, 0.80, 0.92},
     {0.80, 0.40, 0.50, 0.95, 0.95}},
    {{0.20, 0.16, 0.40, 0.75, 0.75},
     {0.20, 0.17, 0.30, 0.68, 0.45},
     {0.20, 0.15, 0.15, 0.70, 0.80},
     {0.20, 0.35, 0.25, 0.80, 0.60},
     {0.20, 0.22, 0.60, 0.65, 0.80},
     {0.20, 0.22, 0.30, 0.95, 0.95},
     {0.20, 0.40, 0.50, 0.95, 0.95}},
};

double prior_of(size_t context) {
    return kPriors[context / kShares / kLengths.size()][context / kShares % kLengths.size()][context % kShares];
}

// Proposes what most often followed the latest tokens, in the prompt, the output and the texts of earlier requests of
// the same scope (SuffixDecoding, https://arxiv.org/abs/2411.04975).
class SuffixDrafts : public Proposer {
public:
    // `memory`: acceptance by context.
    SuffixDrafts(size_t max_ngram, TextMemory& texts, AcceptanceTable& memory)
        : max_ngram_(max_ngram), texts_(texts), memory_(memory) {}

    size_t offer(const Sequence& sequence, size_t limit) override;
    double acceptance(const Sequence& sequence, size_t position) const override;
    double seconds(const Sequence&, size_t) const override { return 0.0; }
    void propose(const std::vector<Order>& orders) override;
    void committed(const Sequence& sequence, size_t n) override;
    void release(const Sequence& sequence) override { states_.release(sequence); }

private:
    struct Text {
        std::shared_ptr<const SuffixAutomaton> automaton;
        SuffixAutomaton::Cursor cursor;
    };
    struct Path {
        std::vector<int64_t> tokens;
        std::vector<size_t> contexts;  // of each token
        double worth = 0.0;            // the expected number of accepted tokens
    };
    struct State {
        explicit State(AcceptanceTable& memory) : acceptance(memory) {}
        SuffixAutomaton own;
        SuffixAutomaton::State end = SuffixAutomaton::kRoot;
        size_t known = 0;  // tokens of the sequence
        std::vector<Text> earlier;
        RunningAcceptance acceptance;
        Path offered;
    };
    void catch_up(State& state, const Sequence& sequence);
    Path follow(const State& state, const SuffixAutomaton& automaton, SuffixAutomaton::Cursor cursor, bool own,
                size_t limit) const;

    size_t max_ngram_;
    TextMemory& texts_;
    AcceptanceTable& memory_;
    PerSequence<State> states_;
};

void SuffixDrafts::catch_up(State& state, const Sequence& sequence) {
    if (state.known == 0) {
        for (auto& automaton : texts_.texts(sequence.request.draft_scope)) state.earlier.push_back({automaton, {}});
    }
    for (; state.known < sequence.tokens.size(); ++state.known) {
        const int64_t token = sequence.tokens[state.known];
        state.end = state.own.append(state.end, token);
        for (Text& text : state.earlier) text.automaton->advance(text.cursor, token);
    }
}

SuffixDrafts::Path SuffixDrafts::follow(const State& state, const SuffixAutomaton& automaton,
                                        SuffixAutomaton::Cursor cursor, bool own, size_t limit) const {
    // Of contexts longer than the longest one, their end. A text that has grown may also have split a state.
    cursor.length = std::min(cursor.length, max_ngram_);
    while (cursor.length > 0 && automaton.length(automaton.shorter(cursor.state)) >= cursor.length) {
        cursor.state = automaton.shorter(cursor.state);
    }
    Path path;
    double reach = 1.0;
    while (path.tokens.size() < limit) {
        double best = 0.0;
        SuffixAutomaton::Next best_next{};
        size_t best_context = 0, best_length = 0;
        for (size_t i = 0; i <= kShorter && cursor.length > 0; ++i) {
            const auto next = automaton.most_frequent(cursor.state);
            if (next.count > 0) {
                const size_t context = context_of(cursor.length, next, i, own);
                const size_t position = path.tokens.empty() ? 0 : 1;
                const double p = state.acceptance.estimate(context, position, prior_of(context), kPriorWeight);
                if (p > best) {
                    best = p;
                    best_next = next;
                    best_context = context;
                    best_length = cursor.length;
                }
            }
            cursor.state = automaton.shorter(cursor.state);
            cursor.length = automaton.length(cursor.state);
        }
        if (best == 0.0) break;
        reach *= best;
        path.worth += reach;
        path.tokens.push_back(best_next.token);
        path.contexts.push_back(best_context);
        cursor = {best_next.state, std::min(best_length + 1, max_ngram_)};
    }
    return path;
}

size_t SuffixDrafts::offer(const Sequence& sequence, size_t limit) {
    State& state = states_.get(sequence, memory_);
    catch_up(state, sequence);
    // The longest suffix that occurred before: the text itself ends at `end`.
    const SuffixAutomaton::State before = state.own.shorter(state.end);
    state.offered = follow(state, state.own, {before, state.own.length(before)}, true, limit);
    for (const Text& text : state.earlier) {
        Path path = follow(state, *text.automaton, text.cursor, false, limit);
        if (path.worth > state.offered.worth) state.offered = std::move(path);
    }
    return state.offered.tokens.size();
}

double SuffixDrafts::acceptance(const Sequence& sequence, size_t position) const {
    const State& state = states_.at(sequence);
    const size_t context = state.offered.contexts[position];
    return state.acceptance.estimate(context, position, prior_of(context), kPriorWeight);
}

void SuffixDrafts::propose(const std::vector<Order>& orders) {
    for (const Order& order : orders) {
        const auto& offered = states_.at(*order.sequence).offered.tokens;
        order.sequence->draft.tokens.assign(offered.begin(),
                                            offered.begin() + static_cast<std::ptrdiff_t>(order.tokens));
    }
}

void SuffixDrafts::committed(const Sequence& sequence, size_t n) {
    // All that was offered is scored against the tokens that followed, whether it was verified or not.
    State& state = states_.get(sequence, memory_);
    const int64_t* const came = sequence.tokens.data() + sequence.tokens.size() - n;
    const auto& offered = state.offered;
    for (size_t i = 0; i < std::min(n, offered.tokens.size()); ++i) {
        const bool accepted = offered.tokens[i] == came[i];
        state.acceptance.observe(offered.contexts[i], i, accepted ? 1.0 : 0.0);
        if (!accepted) break;
    }
    state.offered = {};
    if (!sequence.finished()) return;
    const size_t prompt = sequence.request.prompt.size();
    const size_t first = prompt - std::min(prompt, kRememberedPrompt);
    texts_.add(sequence.request.draft_scope, sequence.tokens.data() + first, sequence.tokens.size() - first);
}

}  // namespace

std::unique_ptr<Proposer> make_suffix_proposer(const ProposerParams& params, const ProposerContext& context) {
    const auto max_ngram = static_cast<size_t>(params.option("max_matching_ngram_size", 64.0));
    return std::make_unique<SuffixDrafts>(max_ngram, context.memory.texts(),
                                          context.memory.acceptance(params.name, kContexts, kPositions));
}

}  // namespace dynexec
