// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <algorithm>

#include "runtime/lookahead.h"
#include "runtime/per_sequence.h"

namespace dynexec {
namespace {

// The longest draft that the heuristic reaches, which is also the longest one that can be asked for.
constexpr size_t kMostTokens = 1024;

// The first proposer that offers tokens gets the order.
class FixedLookahead : public Lookahead {
public:
    FixedLookahead(const LookaheadContext& context, bool adapt, bool keep)
        : context_(context), adapt_(adapt), keep_(keep), kept_(context.memory.number("heuristic")) {}

    Step plan(const std::vector<Candidate>& candidates, const Others&) override {
        Step step;
        for (const auto& [sequence, limit] : candidates) {
            const size_t wanted = std::min(limit, static_cast<size_t>(tokens_.get(*sequence, start())));
            for (auto& proposer : context_.proposers) {
                const size_t offered = wanted == 0 ? 0 : proposer->offer(*sequence, wanted);
                if (offered == 0) continue;
                step.plans.push_back({sequence, proposer.get(), offered});
                break;
            }
        }
        return step;
    }

    size_t longest_draft() const override { return adapt_ ? kMostTokens : context_.num_tokens; }

    void observe(const Sequence& sequence, size_t proposed, size_t accepted) override {
        if (!adapt_) return;
        double& tokens = tokens_.get(sequence, start());
        tokens = accepted == proposed ? std::min<double>(kMostTokens, tokens + 2.0) : std::max(1.0, tokens - 1.0);
        if (keep_) kept_ = tokens;
    }

    void release(const Sequence& sequence) override { tokens_.release(sequence); }

private:
    double start() const { return keep_ && kept_ > 0 ? kept_ : static_cast<double>(context_.num_tokens); }

    LookaheadContext context_;
    bool adapt_;
    bool keep_;
    double& kept_;  // the latest length; 0: none yet
    PerSequence<double> tokens_;
};

}  // namespace

// Always num_tokens.
std::unique_ptr<Lookahead> make_constant_lookahead(const LookaheadContext& context) {
    return std::make_unique<FixedLookahead>(context, false, false);
}

// transformers' heuristic: two tokens more after a draft that was accepted completely, one less after any other draft,
// and never less than one. Carried over generate calls.
std::unique_ptr<Lookahead> make_heuristic_lookahead(const LookaheadContext& context) {
    return std::make_unique<FixedLookahead>(context, true, true);
}

// The same, starting from num_tokens in every generate call.
std::unique_ptr<Lookahead> make_heuristic_transient_lookahead(const LookaheadContext& context) {
    return std::make_unique<FixedLookahead>(context, true, false);
}

}  // namespace dynexec
