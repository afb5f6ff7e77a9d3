// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <algorithm>

#include "runtime/acceptance.h"
#include "runtime/per_sequence.h"
#include "runtime/proposer.h"

namespace dynexec {
namespace {

constexpr size_t kPositions = 4;
// A model nearly always writes what a grammar forces in the tokens that the tokenizer makes of it.
constexpr double kPrior = 0.95;
constexpr double kPriorWeight = 8.0;

// Proposes the tokens that a grammar forces next, which are known before the target runs.
class ForcedTokens : public Proposer {
public:
    explicit ForcedTokens(AcceptanceTable& memory) : memory_(memory) {}

    size_t offer(const Sequence& sequence, size_t limit) override {
        State& state = states_.get(sequence, memory_);
        state.offered = sequence.forced;
        return std::min(limit, state.offered.size());
    }
    double acceptance(const Sequence& sequence, size_t position) const override {
        return states_.at(sequence).acceptance.estimate(0, position, kPrior, kPriorWeight);
    }
    double seconds(const Sequence&, size_t) const override { return 0.0; }

    void propose(const std::vector<Order>& orders) override {
        for (const Order& order : orders) {
            const auto& offered = states_.at(*order.sequence).offered;
            order.sequence->draft.tokens.assign(offered.begin(),
                                                offered.begin() + static_cast<std::ptrdiff_t>(order.tokens));
        }
    }

    void committed(const Sequence& sequence, size_t n) override {
        State* const state = states_.find(sequence);
        if (state == nullptr) return;
        // sequence.forced is that of the next step already.
        state->acceptance.score(0, state->offered, sequence.tokens.data() + sequence.tokens.size() - n, n);
        state->offered.clear();
    }
    void release(const Sequence& sequence) override { states_.release(sequence); }

private:
    struct State {
        explicit State(AcceptanceTable& memory) : acceptance(memory) {}
        RunningAcceptance acceptance;
        std::vector<int64_t> offered;
    };

    AcceptanceTable& memory_;
    PerSequence<State> states_;
};

}  // namespace

std::unique_ptr<Proposer> make_forced_tokens_proposer(const ProposerParams& params, const ProposerContext& context) {
    return std::make_unique<ForcedTokens>(context.memory.acceptance(params.name, 1, kPositions));
}

}  // namespace dynexec
