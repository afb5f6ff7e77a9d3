// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <algorithm>

#include "kernels/ngram_index.h"
#include "runtime/acceptance.h"
#include "runtime/per_sequence.h"
#include "runtime/proposer.h"

namespace dynexec {
namespace {

constexpr size_t kContexts = 6;
constexpr size_t kPositions = 5;

// The prior: acceptance by match length and position, as measured with SmolLM2-135M-Instruct on instructions,
// arithmetic and summaries. About ten observations outweigh it.
constexpr double kPrior[kContexts][kPositions] = {
    {0.25, 0.55, 0.60, 0.70, 0.70}, {0.50, 0.65, 0.70, 0.70, 0.80}, {0.60, 0.70, 0.70, 0.80, 0.80},
    {0.70, 0.70, 0.80, 0.80, 0.80}, {0.75, 0.80, 0.80, 0.80, 0.90}, {0.90, 0.90, 0.95, 0.95, 0.95},
};
constexpr double kPriorWeight = 8.0;

// Longer matches are better guesses. Above a few tokens, the difference disappears.
size_t context_of(size_t match_length) { return match_length <= 4 ? match_length - 1 : (match_length < 8 ? 4 : 5); }

// Proposes the tokens that followed the latest earlier occurrence of the longest matching n-gram, in the prompt and
// the output.
class PromptLookup : public Proposer {
public:
    // `memory`: acceptance by match length.
    PromptLookup(size_t max_ngram, AcceptanceTable& memory) : max_ngram_(max_ngram), memory_(memory) {
        static_cast<void>(NGramIndex(max_ngram));  // which checks it
    }

    size_t offer(const Sequence& sequence, size_t limit) override;
    double acceptance(const Sequence& sequence, size_t position) const override;
    double seconds(const Sequence&, size_t) const override { return 0.0; }
    void propose(const std::vector<Order>& orders) override;
    void committed(const Sequence& sequence, size_t n) override;
    void release(const Sequence& sequence) override { states_.release(sequence); }

private:
    struct State {
        State(size_t max_ngram, AcceptanceTable& memory) : index(max_ngram), acceptance(memory) {}
        NGramIndex index;
        RunningAcceptance acceptance;
        size_t context = 0;
        std::vector<int64_t> offered;
    };
    void catch_up(State& state, const Sequence& sequence);

    size_t max_ngram_;
    AcceptanceTable& memory_;
    PerSequence<State> states_;
};

void PromptLookup::catch_up(State& state, const Sequence& sequence) {
    const size_t known = state.index.tokens().size();
    state.index.append(sequence.tokens.data() + known, sequence.tokens.size() - known);
}

size_t PromptLookup::offer(const Sequence& sequence, size_t limit) {
    State& state = states_.get(sequence, max_ngram_, memory_);
    catch_up(state, sequence);
    state.offered.clear();
    const auto match = state.index.longest_match();
    if (match.length == 0) return 0;
    state.context = context_of(match.length);
    state.index.propose(match, limit, state.offered);
    return state.offered.size();
}

double PromptLookup::acceptance(const Sequence& sequence, size_t position) const {
    const State& state = states_.at(sequence);
    const double prior = kPrior[state.context][std::min(position, kPositions - 1)];
    return state.acceptance.estimate(state.context, position, prior, kPriorWeight);
}

void PromptLookup::propose(const std::vector<Order>& orders) {
    for (const Order& order : orders) {
        const auto& offered = states_.at(*order.sequence).offered;
        order.sequence->draft.tokens.assign(offered.begin(),
                                            offered.begin() + static_cast<std::ptrdiff_t>(order.tokens));
    }
}

void PromptLookup::committed(const Sequence& sequence, size_t n) {
    // Every offer is scored against the tokens that followed, including the part that was not proposed. This costs
    // nothing and keeps the estimate current while nothing is proposed.
    State* const found = states_.find(sequence);
    if (found == nullptr) return;
    State& state = *found;
    state.acceptance.score(state.context, state.offered, sequence.tokens.data() + sequence.tokens.size() - n, n);
    state.offered.clear();
}

}  // namespace

std::unique_ptr<Proposer> make_prompt_lookup_proposer(const ProposerParams& params, const ProposerContext& context) {
    const auto max_ngram = static_cast<size_t>(params.option("max_matching_ngram_size", 8.0));
    return std::make_unique<PromptLookup>(max_ngram, context.memory.acceptance(params.name, kContexts, kPositions));
}

}  // namespace dynexec
