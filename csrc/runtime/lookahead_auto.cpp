// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "runtime/lookahead.h"
#include "runtime/per_sequence.h"
#include "runtime/row_counts.h"

namespace dynexec {
namespace {

// The most draft tokens in a pass.
constexpr size_t kMostTokens = 31;

// Possible numbers of draft tokens in a pass, which they fill to one of kRowCounts. `base_rows`: its rows without
// drafts, of which the first draft can take `spare_rows`.
std::vector<size_t> sizes_of(size_t base_rows, size_t spare_rows) {
    std::vector<size_t> sizes = {0};
    for (const size_t rows : kRowCounts) {
        if (rows + spare_rows <= base_rows) continue;
        const size_t size = rows + spare_rows - base_rows;
        if (size <= kMostTokens) sizes.push_back(size);
    }
    return sizes;
}

// The number of steps over which the long-run average is taken.
constexpr double kMemory = 8.0;
// The number of steps for which a size that is not the best may be kept.
constexpr double kDwell = 2.0;
// In a batch, drafts must promise to gain this share of the time of a pass without drafts. The best of many
// uncertain estimates is too high on average.
constexpr double kBatchMargin = 0.1;

// The tokens of one sequence that could be verified.
struct Option {
    Lookahead::Plan plan{};
    std::vector<double> reach;  // of its tokens
    double seconds_per_token = 0.0;
    bool planned = false;
    // The best proposer that costs nothing, if it is another one.
    Proposer* free_proposer = nullptr;
    std::vector<double> free_reach;

    // The tokens were sampled, so all of them are verified: see Lookahead::settle.
    bool fixed() const { return !plan.sequence->draft.probs.empty(); }
};

// A step of one size: the expected number of tokens, and the seconds without a switch.
struct Outcome {
    double tokens = 0.0;
    double pass_seconds = 0.0;
    double draft_seconds = 0.0;
    double seconds() const { return pass_seconds + draft_seconds; }
};
using Outcomes = std::vector<Outcome>;  // for each size

// The tokens of all options in the order in which they are taken: by P(reached). It falls along a draft, so every
// prefix of this order is a set of drafts.
class Ranking {
public:
    explicit Ranking(const std::vector<Option*>& options) : options_(options) {
        for (Option* option : options) {
            const bool fixed = option->fixed();
            for (size_t k = 0; k < option->reach.size(); ++k) {
                tokens_.push_back({fixed, k == 0, option->reach[k], option});
            }
            fixed_ += fixed ? option->reach.size() : 0;
        }
        std::stable_sort(tokens_.begin(), tokens_.end(), [](const Token& a, const Token& b) {
            return a.fixed != b.fixed ? a.fixed : a.reach > b.reach;
        });
    }

    size_t fixed() const { return fixed_; }

    // The number of rows of a pass with `size` of these tokens, or with padding in the place of missing ones.
    // `base_rows`: without them. `spare_rows`: the number of base rows of each sequence that its draft can take.
    size_t rows(size_t size, size_t base_rows, size_t spare_rows) const {
        size_t drafts = size > tokens_.size() ? 1 : 0;
        for (size_t i = 0, found = 0; i < std::min(size, tokens_.size()); ++i) {
            if (tokens_[i].first) drafts = std::max(drafts, ++found);
        }
        return base_rows + size - std::min(size, spare_rows * drafts);
    }

    // `weight`: of a draft token, see AutoLookahead::weigh.
    Outcomes outcomes(const std::vector<size_t>& sizes, double base_tokens, double weight, size_t base_rows,
                      size_t spare_rows, const CostModel& cost) const {
        Outcomes outcomes;
        Outcome sum{base_tokens, 0.0, 0.0};
        size_t taken = 0;
        for (const size_t size : sizes) {
            for (; taken < std::min(size, tokens_.size()); ++taken) {
                sum.tokens += weight * tokens_[taken].reach;
                sum.draft_seconds += tokens_[taken].option->seconds_per_token;
            }
            outcomes.push_back(sum);
            outcomes.back().pass_seconds = cost.seconds(rows(size, base_rows, spare_rows));
        }
        return outcomes;
    }

    // Gives the first `size` tokens to the plans of their options.
    void allot(size_t size) const {
        for (Option* option : options_) option->plan.tokens = 0;
        for (size_t i = 0; i < std::min(size, tokens_.size()); ++i) ++tokens_[i].option->plan.tokens;
    }

private:
    struct Token {
        bool fixed;
        bool first;  // of its draft
        double reach;
        Option* option;
    };
    std::vector<Option*> options_;
    std::vector<Token> tokens_;
    size_t fixed_ = 0;
};

std::vector<double> reach_of(const Proposer& proposer, const Sequence& sequence, size_t tokens) {
    std::vector<double> reach;
    for (size_t k = 0; k < tokens; ++k) {
        reach.push_back((reach.empty() ? 1.0 : reach.back()) * proposer.acceptance(sequence, k));
    }
    return reach;
}

double worth(const std::vector<double>& reach, double least_reach) {
    double sum = 0.0;
    for (const double r : reach) sum += r >= least_reach ? r : 0.0;
    return sum;
}

// The draft lengths that give the most expected tokens per second, from the time to verify n tokens, the time to draft
// and running estimates of acceptance. No draft at all is one of the choices, so a text that cannot be guessed is
// decoded plainly. num_tokens is the longest draft it may choose.
//
// A forward pass of another size than the previous one costs extra (CostModel::switch_seconds), so it pays to keep a
// size. This is a Markov decision problem with average reward. With t seconds per token in the long run, a step that
// costs c and gives n tokens loses c - t n. If it leaves the run at a size that is not the best, it loses some more.
// Each step takes the size with the smallest loss. If there are fewer proposals than the size has room for, the pass
// is padded.
class AutoLookahead : public Lookahead {
public:
    explicit AutoLookahead(const LookaheadContext& context) : context_(context) {}

    Step plan(const std::vector<Candidate>& candidates, const Others& others) override {
        const size_t sequences = candidates.size() + others.sequences;
        base_tokens_ = static_cast<double>(sequences);
        const size_t base_rows = sequences * context_.limits.per_sequence + others.prompt_rows;
        options_.clear();
        for (const Candidate& candidate : candidates) {
            Option best = best_option(candidate, base_rows);
            help_.get(*candidate.sequence).steps += 1.0;
            if (best.plan.proposer != nullptr) options_.push_back(std::move(best));
        }
        const Ranking ranking(all_options());
        // As if each pass had as many draft tokens as sequences.
        ranking.allot(candidates.size());
        for (const Option& option : options_) {
            const auto end = option.reach.begin() + static_cast<std::ptrdiff_t>(option.plan.tokens);
            help_.at(*option.plan.sequence).tokens += std::accumulate(option.reach.begin(), end, 0.0);
        }
        const Others before = std::exchange(others_, others);
        weight_ = weigh(candidates);
        const bool with_prompts = others.prompt_rows > 0;
        const bool other_base = base_rows != base_rows_ || with_prompts != (before.prompt_rows > 0);
        base_rows_ = base_rows;
        // With prompts, each pass has a new number of rows anyway. The sizes are then those of a single sequence.
        if (other_base) sizes_ = sizes_of(with_prompts ? context_.limits.per_sequence : base_rows, spare_rows());
        const Outcomes outcomes = outcomes_of(ranking);
        if (other_base) long_run_ = outcomes;
        ranking.allot(choose(ranking, outcomes, 0, true));

        // The cost of one more row in the pass.
        const double row_seconds = (context_.cost.seconds(base_rows + kMostTokens) - context_.cost.seconds(base_rows)) /
                                   static_cast<double>(kMostTokens);
        Step step;
        for (Option& option : options_) {
            Plan& plan = option.plan;
            if (plan.tokens == 0 && option.free_proposer != nullptr) take_free(option);
            if (option.seconds_per_token == 0.0) {
                plan.tokens = option.reach.size();  // settle() decides how much of it is verified
            } else if (plan.tokens > 0) {
                plan.least_reach = (option.seconds_per_token + row_seconds) / (weight_ * seconds_per_token());
                // A draft that goes well is continued, if it can still be shortened.
                if (!plan.sequence->request.logits.do_sample) plan.tokens = option.reach.size();
            }
            option.planned = plan.tokens > 0;
            if (option.planned) step.plans.push_back(plan);
        }
        return step;
    }

    void settle(Step& step) override {
        std::vector<Option*> planned;
        for (Option& option : options_) {
            if (!option.planned) continue;
            const Sequence& sequence = *option.plan.sequence;
            option.reach = reach_of(*option.plan.proposer, sequence, sequence.draft.tokens.size());
            if (option.free_proposer != nullptr && !option.fixed() &&
                worth(option.free_reach, option.plan.least_reach) > worth(option.reach, option.plan.least_reach)) {
                take_free(option);
                option.plan.proposer->propose({{option.plan.sequence, option.reach.size()}});
            }
            planned.push_back(&option);
        }
        const Ranking ranking(planned);
        // The time to draft has already been spent.
        const Outcomes outcomes = outcomes_of(ranking);
        const size_t size = choose(ranking, outcomes, ranking.fixed(), false);
        ranking.allot(size);
        step.plans.clear();
        for (Option* option : planned) {
            option->plan.sequence->draft.tokens.resize(option->plan.tokens);
            if (option->plan.tokens > 0) step.plans.push_back(option->plan);
        }
        // Prompts and the drafts of others change the size anyway.
        if (others_.prompt_rows == 0 && others_.sequences == 0) step.rows = static_cast<size_t>(base_tokens_) + size;
        last_rows_ = ranking.rows(size, base_rows_, spare_rows());
        remember(outcomes_of(Ranking(all_options())));
    }

    size_t longest_draft() const override { return context_.num_tokens; }

    void observe(const Sequence&, size_t, size_t) override {}  // the proposers keep the estimates

    void release(const Sequence& sequence) override { help_.release(sequence); }

private:
    // The seconds that a draft token saves in a batch, relative to the seconds that a token takes on average. The call
    // ends with its last sequence, so passes are saved only as far as drafts help the sequence that they help least. A
    // row of a later pass that another sequence saves is worth little more than the switch to fewer rows costs. If
    // there are several calls, each of them ends on its own, and others take its place.
    double weigh(const std::vector<Candidate>& candidates) const {
        const auto n = static_cast<double>(candidates.size());
        const auto of_first = [&](const Candidate& c) { return c.sequence->call == candidates[0].sequence->call; };
        const bool one_call = others_.sequences == 0 && std::all_of(candidates.begin(), candidates.end(), of_first);
        if (candidates.size() == 1 || !one_call) return 1.0;
        double least = std::numeric_limits<double>::infinity();
        double mean = 0.0;
        for (const Candidate& candidate : candidates) {
            const Help& help = help_.at(*candidate.sequence);
            least = std::min(least, help.tokens / help.steps);
            mean += help.tokens / help.steps / n;
        }
        return mean > 0.0 ? least / mean : 0.0;
    }

    // The proposer with the best rate while the other sequences decode plainly. The rows of all sequences share one
    // forward pass, so the cost of a draft depends on the other sequences.
    Option best_option(const Candidate& candidate, size_t base_rows) const {
        const auto& [sequence, limit] = candidate;
        const double plain_rate = base_tokens_ / context_.cost.seconds(base_rows);
        Option best;
        Option best_free;
        double best_rate = 0.0;
        double best_free_rate = 0.0;
        for (auto& proposer : context_.proposers) {
            const size_t offered = proposer->offer(*sequence, std::min(limit, context_.num_tokens));
            Option option;
            option.plan = {sequence, proposer.get(), 0};
            option.reach = reach_of(*proposer, *sequence, offered);
            double expected = base_tokens_;
            double option_rate = 0.0;
            for (size_t k = 1; k <= offered; ++k) {
                expected += weight_ * option.reach[k - 1];
                const double draft_seconds = proposer->seconds(*sequence, k);
                const size_t rows = base_rows + k - std::min(k, spare_rows());
                const double rate = expected / (context_.cost.seconds(rows) + draft_seconds);
                // Drafts that cost nothing may fill a pass that keeps its size.
                if (rate <= option_rate || (draft_seconds > 0.0 && rate <= plain_rate)) continue;
                option_rate = rate;
                option.seconds_per_token = draft_seconds / static_cast<double>(k);
            }
            if (option_rate > best_free_rate && option.seconds_per_token == 0.0) {
                best_free_rate = option_rate;
                best_free = option;
            }
            if (option_rate > best_rate) {
                best_rate = option_rate;
                best = std::move(option);
            }
        }
        if (best_free.plan.proposer != best.plan.proposer) {
            best.free_proposer = best_free.plan.proposer;
            best.free_reach = std::move(best_free.reach);
        }
        return best;
    }

    static void take_free(Option& option) {
        option.plan.proposer = option.free_proposer;
        option.reach = option.free_reach;
        option.seconds_per_token = 0.0;
        option.free_proposer = nullptr;
    }

    Outcomes outcomes_of(const Ranking& ranking) const {
        return ranking.outcomes(sizes_, base_tokens_, weight_, base_rows_, spare_rows(), context_.cost);
    }

    size_t spare_rows() const { return context_.limits.per_sequence - 1; }

    std::vector<Option*> all_options() {
        std::vector<Option*> all;
        for (Option& option : options_) all.push_back(&option);
        return all;
    }

    // For the best size, in the long run.
    double seconds_per_token() const {
        double least = std::numeric_limits<double>::infinity();
        for (const Outcome& outcome : long_run_) least = std::min(least, outcome.seconds() / outcome.tokens);
        return least;
    }

    // The size of at least `least_size` with the smallest loss. `with_drafts`: the drafts have not been made yet.
    size_t choose(const Ranking& ranking, const Outcomes& now, size_t least_size, bool with_drafts) const {
        const double t = seconds_per_token();
        const double switching = context_.cost.switch_seconds();
        const double margin = (base_tokens_ > 1.0 ? kBatchMargin : 0.0) * now.front().pass_seconds;
        double least = std::numeric_limits<double>::infinity();
        size_t best = least_size;
        for (size_t i = 0; i < sizes_.size(); ++i) {
            // A pass has the drafts of all sequences.
            if (sizes_[i] > context_.num_tokens * static_cast<size_t>(base_tokens_)) break;
            if (sizes_[i] < least_size) continue;
            const bool switches = ranking.rows(sizes_[i], base_rows_, spare_rows()) != last_rows_;
            const double excess = long_run_[i].seconds() - t * long_run_[i].tokens;
            const double seconds = with_drafts ? now[i].seconds() : now[i].pass_seconds;
            const double loss = seconds - t * now[i].tokens + (switches ? switching : 0.0) +
                                std::min(switching, kDwell * excess) + (sizes_[i] > 0 ? margin : 0.0);
            if (loss >= least) continue;
            least = loss;
            best = sizes_[i];
        }
        return best;
    }

    void remember(const Outcomes& now) {
        for (size_t i = 0; i < sizes_.size(); ++i) {
            long_run_[i].tokens += (now[i].tokens - long_run_[i].tokens) / kMemory;
            long_run_[i].pass_seconds = now[i].pass_seconds;  // the costs update themselves
            long_run_[i].draft_seconds += (now[i].draft_seconds - long_run_[i].draft_seconds) / kMemory;
        }
    }

    // How far drafts could help a sequence, whether they were verified or not.
    struct Help {
        double steps = 0.0;
        double tokens = 0.0;  // expected to be accepted
    };

    LookaheadContext context_;
    PerSequence<Help> help_;
    std::vector<Option> options_;
    double base_tokens_ = 0.0;
    double weight_ = 1.0;  // of a draft token
    Others others_;
    size_t base_rows_ = 0;
    size_t last_rows_ = 0;
    std::vector<size_t> sizes_;  // numbers of draft tokens to choose from
    Outcomes long_run_;
};

}  // namespace

std::unique_ptr<Lookahead> make_auto_lookahead(const LookaheadContext& context) {
    return std::make_unique<AutoLookahead>(context);
}

}  // namespace dynexec
