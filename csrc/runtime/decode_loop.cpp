// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/decode_loop.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>

#include "runtime/decision.h"
#include "runtime/draft_head.h"
#include "runtime/draft_model.h"
#include "runtime/early_exit_draft.h"
#include "runtime/lookahead.h"
#include "runtime/prompt_lookup.h"

namespace dynexec {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// The state of one generate call.
class Run {
public:
    Run(Backbone& backbone, size_t max_batch_tokens, const Hooks& hooks,
        std::vector<std::unique_ptr<Proposer>>& proposers, Lookahead* lookahead, EarlyExit* early_exit,
        const std::vector<SequenceRequest>& requests)
        : backbone_(backbone),
          target_(backbone.model()),
          max_batch_tokens_(max_batch_tokens),
          hooks_(hooks),
          proposers_(proposers),
          lookahead_(lookahead),
          early_exit_(early_exit) {
        for (size_t exit = 0; early_exit_ != nullptr && exit < early_exit_->num_exits(); ++exit) {
            stats_.exit_histogram.emplace_back(early_exit_->segment(exit), 0);
        }
        if (early_exit_ != nullptr) stats_.exit_histogram.emplace_back(target_.num_segments() - 1, 0);
        stats_.sequences = requests.size();
        for (const auto& request : requests) {
            auto& sequence =
                sequences_.emplace_back(std::make_unique<Sequence>(sequences_.size(), request, target_.num_segments()));
            if (request.max_new_tokens == 0) sequence->finish_reason = FinishReason::kLength;
            stats_.prompt_tokens += request.prompt.size();
        }
    }

    GenerationResult operator()() {
        auto polled = start_;
        while (schedule()) {
            if (early_exit_ != nullptr) {
                step_with_exits();
            } else {
                propose();
                float* const rows = forward();
                decide_and_commit(rows);
            }
            if (hooks_.poll && Clock::now() - polled > std::chrono::milliseconds(50)) {
                hooks_.poll();
                polled = Clock::now();
            }
        }
        return result();
    }

private:
    // One sequence's share of a forward pass.
    struct Slot {
        Sequence* sequence;
        size_t prompt_rows;  // 0: it decodes; else so many tokens of its prompt are run
    };

    // Picks what runs in this step; false when everything is done. Decoding sequences always run; prompts fill up the
    // forward pass to max_batch_tokens.
    bool schedule() {
        slots_.clear();
        size_t prompt_rows = 0;
        for (auto& sequence : sequences_) {
            if (sequence->finished()) continue;
            sequence->draft.clear();
            sequence->ahead.clear();
            if (sequence->decoding()) {
                slots_.push_back({sequence.get(), 0});
                continue;
            }
            const size_t rows = std::min(sequence->tokens.size() - sequence->cached(), max_batch_tokens_ - prompt_rows);
            if (rows == 0) continue;
            prompt_rows += rows;
            slots_.push_back({sequence.get(), rows});
        }
        prompt_rows_ = prompt_rows;
        return !slots_.empty();
    }

    void propose() {
        if (lookahead_ == nullptr) return;
        const auto start = Clock::now();
        std::vector<Lookahead::Candidate> candidates;
        for (const Slot& slot : slots_) {
            // The last token of a forward pass needs no draft: it is chosen anyway.
            if (slot.prompt_rows == 0) candidates.push_back({slot.sequence, slot.sequence->remaining() - 1});
        }
        if (!candidates.empty()) {
            step_ = lookahead_->plan(candidates, prompt_rows_);
            for (auto& proposer : proposers_) {
                std::vector<Proposer::Order> orders;
                for (const auto& plan : step_.plans) {
                    if (plan.proposer == proposer.get())
                        orders.push_back({plan.sequence, plan.tokens, plan.least_reach, plan.learned_stop});
                }
                if (!orders.empty()) proposer->propose(orders);
            }
            lookahead_->settle(step_);
        } else {
            step_ = {};
        }
        stats_.propose_seconds += seconds_since(start);
    }

    float* forward() {
        const auto start = Clock::now();
        std::vector<Backbone::Part> parts;
        for (const Slot& slot : slots_) {
            Sequence& sequence = *slot.sequence;
            if (slot.prompt_rows > 0) {
                parts.push_back({&sequence, sequence.cached() + slot.prompt_rows, 1, slot.prompt_rows});
                continue;
            }
            // What the first segments have run ahead holds as far as the draft is still that which they ran.
            const auto& draft = sequence.draft.tokens;
            const auto& ahead = sequence.ahead;
            const size_t same = static_cast<size_t>(
                std::mismatch(ahead.begin(), ahead.begin() + std::min(ahead.size(), draft.size()), draft.begin())
                    .first -
                ahead.begin());
            sequence.rollback(sequence.tokens.size() + same);
            parts.push_back({&sequence, sequence.tokens.size() + draft.size(), 1 + draft.size()});
        }
        float* const rows = backbone_.run(parts, target_.num_segments(), step_.rows);
        stats_.target_forwards += 1;
        stats_.prefill_forwards += prompt_rows_ > 0;
        add_run_seconds(start);
        return rows;
    }

    void add_run_seconds(Clock::time_point start) {
        (prompt_rows_ > 0 ? stats_.prefill_seconds : stats_.run_seconds) += seconds_since(start);
    }

    // One step in which tokens may leave at the exits. What they leave out waits in front of the next segment, until a
    // token comes that goes on: then that segment runs all of them at once, and its cache is as if none had left. Or
    // the segments that were left out get keys and values at once, of the hidden states that the token left with.
    void step_with_exits() {
        struct Open {
            Backbone::Part part;
            bool decides;  // its next token is to be chosen
            bool may_leave;
        };
        std::vector<Open> open;
        for (const Slot& slot : slots_) {
            Sequence& sequence = *slot.sequence;
            const size_t end = slot.prompt_rows > 0 ? sequence.cached() + slot.prompt_rows : sequence.tokens.size();
            open.push_back(
                {{&sequence, end, 1}, end == sequence.tokens.size(), slot.prompt_rows == 0 || early_exit_->prefill()});
        }
        const auto parts = [&] {
            std::vector<Backbone::Part> all;
            for (const Open& o : open) all.push_back(o.part);
            return all;
        };
        stats_.target_forwards += 1;
        stats_.prefill_forwards += prompt_rows_ > 0;
        early_exit_->begin(sequences_of(parts()));
        row_.resize(target_.vocab_size());
        for (size_t exit = 0; exit < early_exit_->num_exits() && !open.empty(); ++exit) {
            if (!early_exit_->asks(exit)) continue;
            auto start = Clock::now();
            backbone_.run(parts(), early_exit_->segment(exit) + 1);
            add_run_seconds(start);

            const auto asks = std::stable_partition(open.begin(), open.end(),
                                                    [](const Open& o) { return !(o.decides && o.may_leave); });
            std::vector<Backbone::Part> asked;
            for (auto o = asks; o != open.end(); ++o) asked.push_back(o->part);
            open.erase(asks, open.end());
            // A stretch of a prompt that is not its last one has nothing to decide.
            if (early_exit_->prefill()) open.clear();
            if (asked.empty()) continue;
            start = Clock::now();
            early_exit_->predict(exit, sequences_of(asked));
            stats_.exit_head_seconds += seconds_since(start);
            start = Clock::now();
            std::vector<Backbone::Part> left;
            for (size_t i = 0; i < asked.size(); ++i) {
                if (early_exit_->leaves(exit, i, row_.data(), row_.size())) {
                    take(*asked[i].sequence, row_.data(), exit);
                    if (!asked[i].sequence->finished()) left.push_back(asked[i]);
                } else {
                    open.push_back({asked[i], true, true});
                }
            }
            stats_.decide_seconds += seconds_since(start);
            if (!early_exit_->copies() || left.empty()) continue;
            start = Clock::now();
            backbone_.copy(left, early_exit_->segment(exit) + 1);
            add_run_seconds(start);
        }
        if (open.empty()) return;
        auto start = Clock::now();
        float* row = backbone_.run(parts(), target_.num_segments());
        add_run_seconds(start);
        start = Clock::now();
        for (const Open& o : open) {
            if (o.decides) take(*o.part.sequence, row, early_exit_->num_exits());
            row += target_.vocab_size();
        }
        stats_.decide_seconds += seconds_since(start);
    }

    static std::vector<const Sequence*> sequences_of(const std::vector<Backbone::Part>& parts) {
        std::vector<const Sequence*> sequences;
        for (const Backbone::Part& part : parts) sequences.push_back(part.sequence);
        return sequences;
    }

    void take(Sequence& sequence, float* row, size_t exit) {
        verify(sequence, row);
        stats_.exit_histogram[exit].second += 1;
        if (sequence.finished()) early_exit_->release(sequence);
    }

    void decide_and_commit(float* rows) {
        const auto start = Clock::now();
        const float* hidden_states = target_.hidden_states();
        for (const Slot& slot : slots_) {
            Sequence& sequence = *slot.sequence;
            if (slot.prompt_rows > 0) {
                const size_t first = sequence.cached() - slot.prompt_rows;
                const bool prompt_done = sequence.cached() == sequence.tokens.size();
                if (prompt_done) verify(sequence, rows);
                show(sequence, first, hidden_states, slot.prompt_rows);
                rows += target_.vocab_size();
                hidden_states += slot.prompt_rows * target_.hidden_size();
                continue;
            }
            const size_t num_rows = 1 + sequence.draft.tokens.size();
            const size_t first = sequence.tokens.size() - 1;
            verify(sequence, rows);
            show(sequence, first, hidden_states, sequence.cached() - first);
            rows += num_rows * target_.vocab_size();
            hidden_states += num_rows * target_.hidden_size();
        }
        stats_.decide_seconds += seconds_since(start);
    }

    void show(const Sequence& sequence, size_t first, const float* hidden_states, size_t n) {
        if (target_.hidden_size() == 0 || sequence.finished()) return;
        for (auto& proposer : proposers_) proposer->saw(sequence, first, hidden_states, n);
    }

    // Takes tokens from the rows until one differs from the draft, the rows end or the sequence does.
    void verify(Sequence& sequence, float* rows) {
        const size_t vocab = target_.vocab_size();
        const size_t drafted = sequence.draft.tokens.size();
        const size_t before = sequence.tokens.size();
        size_t accepted = 0;
        for (size_t position = 0; position <= drafted && !sequence.finished(); ++position) {
            float* row = rows + position * vocab;
            if (hooks_.process_logits) hooks_.process_logits(sequence, row, vocab);
            const Decision decision = decide(sequence, position, row, vocab);
            append(sequence, decision.token);
            if (!decision.accepted || position == drafted) break;
            ++accepted;
        }
        // The cache holds every committed token but the last, which has not been an input yet.
        sequence.rollback(sequence.tokens.size() - 1);
        const size_t n = sequence.tokens.size() - before;
        record(sequence, drafted, accepted, n);
        for (auto& proposer : proposers_) proposer->committed(sequence, n);
        if (hooks_.on_tokens) hooks_.on_tokens(sequence, n);
        if (sequence.finished()) sequence.table.clear();
    }

    void append(Sequence& sequence, int64_t token) {
        sequence.tokens.push_back(token);
        sequence.counts.push(token);
        const auto& eos = sequence.request.eos_token_ids;
        if (std::find(eos.begin(), eos.end(), token) != eos.end()) {
            sequence.finish_reason = FinishReason::kStop;
        } else if (sequence.remaining() == 0) {
            sequence.finish_reason = FinishReason::kLength;
        }
        // Asked even at the end: a criterion may count tokens.
        if (hooks_.should_stop && hooks_.should_stop(sequence) && !sequence.finished()) {
            sequence.finish_reason = FinishReason::kCallback;
        }
    }

    void record(const Sequence& sequence, size_t drafted, size_t accepted, size_t n) {
        if (stats_.tokens == 0) stats_.time_to_first_token = seconds_since(start_);
        stats_.tokens += n;
        stats_.verifications += 1;
        if (drafted == 0) return;
        stats_.drafted_verifications += 1;
        if (stats_.accepted_histogram.size() <= accepted) stats_.accepted_histogram.resize(accepted + 1);
        stats_.accepted_histogram[accepted] += 1;
        for (const auto& plan : step_.plans) {
            if (plan.sequence != &sequence) continue;
            plan.proposer->stats().proposed += drafted;
            plan.proposer->stats().accepted += accepted;
        }
        lookahead_->observe(sequence, drafted, accepted);
    }

    GenerationResult result() {
        GenerationResult result;
        for (const auto& sequence : sequences_) {
            const auto prompt = static_cast<std::ptrdiff_t>(sequence->request.prompt.size());
            result.tokens.emplace_back(sequence->tokens.begin() + prompt, sequence->tokens.end());
            result.finish_reasons.push_back(sequence->finish_reason);
        }
        for (const auto& proposer : proposers_) stats_.proposers.push_back(proposer->stats());
        stats_.total_seconds = seconds_since(start_);
        result.stats = std::move(stats_);
        return result;
    }

    Backbone& backbone_;
    PagedModel& target_;
    size_t max_batch_tokens_;
    const Hooks& hooks_;
    std::vector<std::unique_ptr<Proposer>>& proposers_;
    Lookahead* lookahead_;
    EarlyExit* early_exit_;
    std::vector<float> row_;  // [vocab]
    std::vector<std::unique_ptr<Sequence>> sequences_;
    std::vector<Slot> slots_;
    Lookahead::Step step_;
    size_t prompt_rows_ = 0;
    Stats stats_;
    const Clock::time_point start_ = Clock::now();
};

}  // namespace

DecodeLoop::DecodeLoop(PagedModel& target, size_t max_batch_tokens)
    : target_(target), max_batch_tokens_(max_batch_tokens), prompt_lookup_memory_(PromptLookup::make_memory()) {
    if (max_batch_tokens == 0) throw std::invalid_argument("max_batch_tokens must be at least 1");
}

void DecodeLoop::validate(const std::vector<SequenceRequest>& requests) const {
    const auto vocab = static_cast<int64_t>(target_.vocab_size());
    for (size_t i = 0; i < requests.size(); ++i) {
        if (requests[i].prompt.empty()) {
            throw std::invalid_argument("Prompt " + std::to_string(i) + " is empty: at least one token is needed");
        }
        for (const int64_t id : requests[i].prompt) {
            if (id >= 0 && id < vocab) continue;
            throw std::invalid_argument("Prompt " + std::to_string(i) + " holds token id " + std::to_string(id) +
                                        "; the model's vocabulary has ids 0 to " + std::to_string(vocab - 1));
        }
    }
}

GenerationResult DecodeLoop::generate(const std::vector<SequenceRequest>& requests,
                                      const SpeculationParams& speculation, const Hooks& hooks,
                                      const EarlyExitParams* early_exit_params) {
    validate(requests);
    PagedModel* const draft = speculation.draft_model;
    const Head* const head = speculation.draft_head.get();
    // A model may draft for itself: each is there once.
    std::set<PagedModel*> models = {&target_};
    if (draft != nullptr) models.insert(draft);
    if (head != nullptr) models.insert(&head->model());
    for (const Exit& exit : speculation.exits) models.insert(&exit.head->model());
    if (early_exit_params != nullptr) {
        for (const Exit& exit : early_exit_params->exits) models.insert(&exit.head->model());
    }
    // Always in the same order, so that two models that draft for each other do not wait forever.
    std::vector<std::unique_lock<std::mutex>> locks;
    for (PagedModel* model : models) locks.emplace_back(model->mutex());

    Backbone backbone(target_, max_batch_tokens_);
    std::deque<ExitHead> exit_heads;
    std::vector<std::unique_ptr<Proposer>> proposers;
    if (speculation.prompt_lookup) {
        proposers.push_back(std::make_unique<PromptLookup>(speculation.max_matching_ngram_size, requests.size(),
                                                           prompt_lookup_memory_));
    }
    if (head != nullptr) {
        auto& memory = head_memory_.try_emplace(&head->model()).first->second;
        proposers.push_back(std::make_unique<DraftHead>(*head, target_, speculation.num_assistant_tokens,
                                                        max_batch_tokens_, speculation.assistant_confidence_threshold,
                                                        requests.size(), memory));
    }
    for (const Exit& exit : speculation.exits) {
        auto& memory = head_memory_.try_emplace(&exit.head->model()).first->second;
        ExitHead& exit_head = exit_heads.emplace_back(exit, backbone, max_batch_tokens_, requests.size());
        proposers.push_back(std::make_unique<EarlyExitDraft>(exit_head, backbone, speculation.num_assistant_tokens,
                                                             speculation.assistant_confidence_threshold,
                                                             requests.size(), memory));
    }
    if (draft != nullptr) {
        auto& memory = draft_memory_.try_emplace(draft, DraftModel::make_memory()).first->second;
        proposers.push_back(std::make_unique<DraftModel>(*draft, target_.vocab_size(), speculation.num_assistant_tokens,
                                                         speculation.assistant_confidence_threshold, requests.size(),
                                                         memory));
    }
    std::unique_ptr<EarlyExit> early_exit;
    if (early_exit_params != nullptr) {
        if (!proposers.empty()) throw std::invalid_argument("Early exit and speculation exclude each other");
        early_exit = std::make_unique<EarlyExit>(*early_exit_params, backbone, max_batch_tokens_, requests.size());
    }
    std::unique_ptr<Lookahead> lookahead;
    if (!proposers.empty()) {
        if (speculation.lookahead == "auto") {
            for (PagedModel* model : models) {
                if (model->cost_model().measured()) continue;
                model->warm_up();
                model->profile();
            }
        }
        lookahead = make_lookahead(
            speculation.lookahead,
            {proposers, target_.cost_model(), speculation.num_assistant_tokens, requests.size(), heuristic_tokens_});
    }
    return Run(backbone, max_batch_tokens_, hooks, proposers, lookahead.get(), early_exit.get(), requests)();
}

}  // namespace dynexec
