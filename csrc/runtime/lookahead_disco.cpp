// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <algorithm>

#include "runtime/lookahead.h"

namespace dynexec {
namespace {

// The first proposer that offers tokens gets the order. A draft has up to num_tokens tokens. Heads end it with their
// stop classifier (DISCO, arXiv 2405.04304).
class DiscoLookahead : public Lookahead {
public:
    explicit DiscoLookahead(const LookaheadContext& context) : context_(context) {}

    Step plan(const std::vector<Candidate>& candidates, const Others&) override {
        Step step;
        for (const auto& [sequence, limit] : candidates) {
            for (auto& proposer : context_.proposers) {
                const size_t offered = proposer->offer(*sequence, std::min(limit, context_.num_tokens));
                if (offered == 0) continue;
                step.plans.push_back({sequence, proposer.get(), offered, 0.0, true});
                break;
            }
        }
        return step;
    }

    size_t longest_draft() const override { return context_.num_tokens; }

    void observe(const Sequence&, size_t, size_t) override {}

private:
    LookaheadContext context_;
};

}  // namespace

std::unique_ptr<Lookahead> make_disco_lookahead(const LookaheadContext& context) {
    return std::make_unique<DiscoLookahead>(context);
}

}  // namespace dynexec
