// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/lookahead_auto.h"

#include <algorithm>

namespace dynexec {
namespace {

class AutoLookahead : public Lookahead {
public:
    explicit AutoLookahead(const LookaheadContext& context) : context_(context) {}

    std::vector<Plan> plan(const std::vector<Candidate>& candidates, size_t other_rows) override {
        // 1. The best proposer for each sequence on its own, with P(reached) of each of its tokens.
        struct Option {
            Plan plan{};
            std::vector<double> reach;
            double seconds_per_token = 0.0;
        };
        std::vector<Option> options;
        for (const auto& [sequence, limit] : candidates) {
            Option best;
            double best_rate = 1.0 / context_.cost.seconds(1);
            for (auto& proposer : context_.proposers) {
                const size_t offered = proposer->offer(*sequence, std::min(limit, context_.num_tokens));
                std::vector<double> reach;
                double expected = 1.0;
                for (size_t k = 1; k <= offered; ++k) {
                    reach.push_back((reach.empty() ? 1.0 : reach.back()) * proposer->acceptance(*sequence, k - 1));
                    expected += reach.back();
                    const double draft_seconds = proposer->seconds(*sequence, k);
                    const double rate = expected / (context_.cost.seconds(1 + k) + draft_seconds);
                    if (rate <= best_rate) continue;
                    best_rate = rate;
                    best.plan = {sequence, proposer.get(), k};
                    best.reach = reach;
                    best.seconds_per_token = draft_seconds / static_cast<double>(k);
                }
            }
            if (best.plan.proposer != nullptr) options.push_back(std::move(best));
        }
        // 2. The rows of all sequences share one forward pass: take tokens in order of P(reached) and keep the total
        // with the best rate. Reach falls along a draft, so every prefix of that order is a set of shorter drafts.
        struct Token {
            double reach;
            Option* option;
        };
        std::vector<Token> tokens;
        for (auto& option : options) {
            option.plan.tokens = 0;
            for (const double reach : option.reach) tokens.push_back({reach, &option});
        }
        std::stable_sort(tokens.begin(), tokens.end(),
                         [](const Token& a, const Token& b) { return a.reach > b.reach; });
        const size_t base_rows = candidates.size() + other_rows;
        double expected = static_cast<double>(candidates.size());
        double draft_seconds = 0.0;
        double best_rate = expected / context_.cost.seconds(base_rows);
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
