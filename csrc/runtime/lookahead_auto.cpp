// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/lookahead_auto.h"

#include <algorithm>

namespace dynexec {
namespace {

class AutoLookahead : public Lookahead {
public:
    explicit AutoLookahead(const LookaheadContext& context) : context_(context) {}

    std::vector<Plan> plan(const std::vector<Candidate>& candidates, size_t other_rows) override {
        // The rows of all sequences share one forward pass, so what a draft costs depends on the others.
        const size_t base_rows = candidates.size() + other_rows;
        const double base_tokens = static_cast<double>(candidates.size());
        const double plain_rate = base_tokens / context_.cost.seconds(base_rows);

        // 1. The best proposer for each sequence while the others decode plainly, with P(reached) of its tokens.
        struct Option {
            Plan plan{};
            std::vector<double> reach;
            double seconds_per_token = 0.0;
        };
        std::vector<Option> options;
        for (const auto& [sequence, limit] : candidates) {
            Option best;
            double best_rate = plain_rate;
            for (auto& proposer : context_.proposers) {
                const size_t offered = proposer->offer(*sequence, std::min(limit, context_.num_tokens));
                std::vector<double> reach;
                double expected = base_tokens;
                bool better = false;
                for (size_t k = 1; k <= offered; ++k) {
                    reach.push_back((reach.empty() ? 1.0 : reach.back()) * proposer->acceptance(*sequence, k - 1));
                    expected += reach.back();
                    const double draft_seconds = proposer->seconds(*sequence, k);
                    const double rate = expected / (context_.cost.seconds(base_rows + k) + draft_seconds);
                    if (rate <= best_rate) continue;
                    best_rate = rate;
                    better = true;
                    best.seconds_per_token = draft_seconds / static_cast<double>(k);
                }
                if (better) {
                    best.plan = {sequence, proposer.get(), 0};
                    best.reach = std::move(reach);
                }
            }
            if (best.plan.proposer != nullptr) options.push_back(std::move(best));
        }

        // 2. Take tokens in order of P(reached) and keep the number with the best rate. Reach falls along a draft, so
        // every prefix of that order is a set of shorter drafts.
        struct Token {
            double reach;
            Option* option;
        };
        std::vector<Token> tokens;
        for (auto& option : options) {
            for (const double reach : option.reach) tokens.push_back({reach, &option});
        }
        std::stable_sort(tokens.begin(), tokens.end(),
                         [](const Token& a, const Token& b) { return a.reach > b.reach; });
        double expected = base_tokens;
        double draft_seconds = 0.0;
        double best_rate = plain_rate;
        size_t taken = 0;
        for (size_t i = 0; i < tokens.size(); ++i) {
            expected += tokens[i].reach;
            draft_seconds += tokens[i].option->seconds_per_token;
            const double rate = expected / (context_.cost.seconds(base_rows + i + 1) + draft_seconds);
            if (rate <= best_rate) continue;
            best_rate = rate;
            taken = i + 1;
        }
        for (size_t i = 0; i < taken; ++i) ++tokens[i].option->plan.tokens;
        std::vector<Plan> plans;
        for (const auto& option : options) {
            if (option.plan.tokens > 0) plans.push_back(option.plan);
        }
        return plans;
    }

    void observe(const Sequence&, size_t, size_t) override {}  // the proposers keep the estimates

private:
    LookaheadContext context_;
};

}  // namespace

std::unique_ptr<Lookahead> make_auto_lookahead(const LookaheadContext& context) {
    return std::make_unique<AutoLookahead>(context);
}

}  // namespace dynexec
