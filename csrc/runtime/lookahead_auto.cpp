// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/lookahead_auto.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>

namespace dynexec {
namespace {

// Draft tokens in a pass: with the one token of a single sequence, the sizes that were timed.
constexpr size_t kSizes[] = {0, 1, 3, 5, 7, 11, 15, 23, 31};
constexpr size_t kNumSizes = std::size(kSizes);
// Steps over which the long run is averaged.
constexpr double kMemory = 8.0;
// Steps that a size which is not the best one may be kept for.
constexpr double kDwell = 2.0;

class AutoLookahead : public Lookahead {
public:
    explicit AutoLookahead(const LookaheadContext& context) : context_(context) {}

    Step plan(const std::vector<Candidate>& candidates, size_t other_rows) override {
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
            double best_rate = 0.0;
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
                    // What costs nothing to draft may fill a pass that keeps its size.
                    if (rate <= best_rate || (draft_seconds > 0.0 && rate <= plain_rate)) continue;
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

        // 2. Tokens in order of P(reached). Reach falls along a draft, so every prefix of that order is a set of
        // drafts.
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

        // 3. How many of them.
        std::array<Outcome, kNumSizes> now;
        double expected = base_tokens;
        double draft_seconds = 0.0;
        for (size_t i = 0, taken = 0; i < kNumSizes; ++i) {
            for (; taken < std::min(kSizes[i], tokens.size()); ++taken) {
                expected += tokens[taken].reach;
                draft_seconds += tokens[taken].option->seconds_per_token;
            }
            now[i] = {expected, context_.cost.seconds(base_rows + kSizes[i]) + draft_seconds};
        }
        const size_t size = choose(now, base_rows);
        for (size_t i = 0; i < std::min(size, tokens.size()); ++i) ++tokens[i].option->plan.tokens;
        Step step;
        for (const auto& option : options) {
            if (option.plan.tokens > 0) step.plans.push_back(option.plan);
        }
        // Prompts change the shape anyway.
        if (other_rows == 0) step.rows = base_rows + size;
        last_rows_ = base_rows + size;
        return step;
    }

    void observe(const Sequence&, size_t, size_t) override {}  // the proposers keep the estimates

private:
    // Of a step of one size: expected tokens, and seconds without a switch.
    struct Outcome {
        double tokens = 0.0;
        double seconds = 0.0;
    };

    size_t choose(const std::array<Outcome, kNumSizes>& now, size_t base_rows) {
        if (base_rows != base_rows_) {
            base_rows_ = base_rows;
            long_run_ = now;
        }
        double seconds_per_token = std::numeric_limits<double>::infinity();
        for (const Outcome& outcome : long_run_) {
            seconds_per_token = std::min(seconds_per_token, outcome.seconds / outcome.tokens);
        }
        const double switching = context_.cost.switch_seconds();
        double least = std::numeric_limits<double>::infinity();
        size_t best = 0;
        for (size_t i = 0; i < kNumSizes; ++i) {
            if (kSizes[i] > context_.num_tokens) break;
            const bool switches = base_rows + kSizes[i] != last_rows_;
            const double excess = long_run_[i].seconds - seconds_per_token * long_run_[i].tokens;
            const double loss = now[i].seconds - seconds_per_token * now[i].tokens + (switches ? switching : 0.0) +
                                std::min(switching, kDwell * excess);
            if (loss >= least) continue;
            least = loss;
            best = i;
        }
        for (size_t i = 0; i < kNumSizes; ++i) {
            long_run_[i].tokens += (now[i].tokens - long_run_[i].tokens) / kMemory;
            long_run_[i].seconds += (now[i].seconds - long_run_[i].seconds) / kMemory;
        }
        return kSizes[best];
    }

    LookaheadContext context_;
    size_t base_rows_ = 0;
    size_t last_rows_ = 0;
    std::array<Outcome, kNumSizes> long_run_;
};

}  // namespace

std::unique_ptr<Lookahead> make_auto_lookahead(const LookaheadContext& context) {
    return std::make_unique<AutoLookahead>(context);
}

}  // namespace dynexec
