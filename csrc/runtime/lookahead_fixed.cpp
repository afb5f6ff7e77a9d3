// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/lookahead_fixed.h"

#include <algorithm>

namespace dynexec {
namespace {

// The first proposer that has anything gets the order.
class FixedLookahead : public Lookahead {
public:
    FixedLookahead(const LookaheadContext& context, bool adapt, bool keep)
        : context_(context), adapt_(adapt), keep_(keep) {
        const double start =
            keep && context.heuristic_tokens > 0 ? context.heuristic_tokens : static_cast<double>(context.num_tokens);
        tokens_.assign(context.num_sequences, start);
    }

    Step plan(const std::vector<Candidate>& candidates, size_t) override {
        Step step;
        for (const auto& [sequence, limit] : candidates) {
            const size_t wanted = std::min(limit, static_cast<size_t>(tokens_[sequence->index]));
            for (auto& proposer : context_.proposers) {
                const size_t offered = wanted == 0 ? 0 : proposer->offer(*sequence, wanted);
                if (offered == 0) continue;
                step.plans.push_back({sequence, proposer.get(), offered});
                break;
            }
        }
        return step;
    }

    void observe(const Sequence& sequence, size_t proposed, size_t accepted) override {
        if (!adapt_) return;
        double& tokens = tokens_[sequence.index];
        tokens = accepted == proposed ? tokens + 2.0 : std::max(1.0, tokens - 1.0);
        if (keep_) context_.heuristic_tokens = tokens;
    }

private:
    LookaheadContext context_;
    bool adapt_;
    bool keep_;
    std::vector<double> tokens_;
};

}  // namespace

std::unique_ptr<Lookahead> make_constant_lookahead(const LookaheadContext& context) {
    return std::make_unique<FixedLookahead>(context, false, false);
}

std::unique_ptr<Lookahead> make_heuristic_lookahead(const LookaheadContext& context) {
    return std::make_unique<FixedLookahead>(context, true, true);
}

std::unique_ptr<Lookahead> make_transient_heuristic_lookahead(const LookaheadContext& context) {
    return std::make_unique<FixedLookahead>(context, true, false);
}

}  // namespace dynexec
