// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <algorithm>
#include <deque>
#include <stdexcept>

#include "kernels/logits_stats.h"
#include "runtime/backbone.h"
#include "runtime/proposer.h"

namespace dynexec {
namespace {

constexpr size_t kPositions = 8;
constexpr double kPrior = 0.7;  // optimistic, because nothing is learned about a draft that is never tried

// Proposes the tokens of a smaller causal LM with the same tokenizer.
class DraftModel : public Proposer {
public:
    // `max_tokens`: longest draft. `confidence_threshold`: a draft ends after a token whose probability is below it; 0
    // switches this off. `vocab`: the vocabulary of the target, over which the probabilities of the draft are given.
    // `window`: the model reads at most so many of the last tokens when it has not read what came before them.
    // `memory`: acceptance by position.
    DraftModel(PagedModel& model, size_t window, const ProposerContext& context, AcceptanceTable& memory)
        : model_(model),
          window_(window),
          vocab_(context.backbone.model().vocab_size()),
          max_batch_tokens_(context.max_batch_tokens),
          max_tokens_(context.max_tokens),
          confidence_threshold_(context.confidence_threshold) {
        // Observations of earlier requests fade, so that a draft model that is no longer used is tried again.
        memory.forget(0.8);
        for (size_t i = 0; i < context.num_sequences; ++i) states_.emplace_back(memory);
    }

    size_t offer(const Sequence& sequence, size_t limit) override;
    double acceptance(const Sequence& sequence, size_t position) const override;
    double seconds(const Sequence& sequence, size_t tokens) const override;
    void propose(const std::vector<Order>& orders) override;
    void committed(const Sequence& sequence, size_t n) override;

private:
    struct State {
        explicit State(AcceptanceTable& memory) : acceptance(memory) {}
        BlockTable table;
        size_t skipped = 0;  // tokens before those that the model has read
        size_t cached = 0;   // tokens that it has read or skipped
        RunningAcceptance acceptance;
        bool proposed = false;
        std::vector<int64_t> drafted;  // in this step, whether or not it is verified
        double reach = 1.0;            // P(all draft tokens of this step are accepted)
    };
    // Leaves out what is longer ago than the window.
    void skip(const std::vector<Order>& orders);
    // Runs all of a long backlog, usually a prompt, except its last chunk.
    void catch_up(const std::vector<Order>& orders);
    // Chooses the next draft token from `row`; returns whether the draft may go on.
    bool choose(const Order& order, float* row);

    PagedModel& model_;
    size_t window_;
    size_t vocab_;
    size_t max_batch_tokens_;
    size_t max_tokens_;
    float confidence_threshold_;
    std::deque<State> states_;  // a block table does not move
};

size_t DraftModel::offer(const Sequence&, size_t limit) { return std::min(limit, max_tokens_); }

double DraftModel::acceptance(const Sequence& sequence, size_t position) const {
    return states_[sequence.index].acceptance.estimate(0, position, kPrior, 4.0);
}

double DraftModel::seconds(const Sequence& sequence, size_t tokens) const {
    if (tokens == 0) return 0.0;
    const size_t backlog = std::min(window_, sequence.tokens.size() - states_[sequence.index].cached);
    const CostModel& cost = model_.cost_model();
    // All later drafts need the backlog too (usually the prompt), so each token is charged a share of it.
    const double catching_up = cost.seconds(backlog) - cost.seconds(1);
    const double share = static_cast<double>(tokens) / static_cast<double>(sequence.remaining());
    return static_cast<double>(tokens) * cost.seconds(1) + share * catching_up;
}

bool DraftModel::choose(const Order& order, float* row) {
    Sequence& sequence = *order.sequence;
    State& state = states_[sequence.index];
    const LogitsParams& params = sequence.request.logits;
    const size_t n = std::min(vocab_, model_.vocab_size());
    process_logits(row, n, params, sequence.counts);
    int64_t token = -1;
    float confidence = 1.0f;
    if (params.do_sample) {
        if (!softmax(row, n)) throw std::runtime_error("The draft model gave NaN logits");
        token = sample(row, n, sequence.draft_rng);
        confidence = row[token];
        auto& probs = sequence.draft.probs.emplace_back(row, row + n);
        probs.resize(vocab_, 0.0f);
    } else if (confidence_threshold_ > 0.0f) {
        const LogitsStats stats = logits_stats(row, n);
        token = stats.argmax;
        confidence = stats.max_prob;
    } else {
        token = argmax(row, n);
    }
    if (token < 0) throw std::runtime_error("The draft model gave NaN logits");
    state.reach *= acceptance(sequence, sequence.draft.tokens.size());
    sequence.draft.tokens.push_back(token);
    sequence.counts.push(token);
    const auto& eos = sequence.request.eos_token_ids;  // no token can follow
    return sequence.draft.tokens.size() < order.tokens && state.reach >= order.least_reach &&
           confidence >= confidence_threshold_ && std::find(eos.begin(), eos.end(), token) == eos.end();
}

void DraftModel::skip(const std::vector<Order>& orders) {
    for (const Order& order : orders) {
        State& state = states_[order.sequence->index];
        const size_t length = order.sequence->tokens.size();
        if (length - state.cached <= window_) continue;
        state.table.clear();
        state.skipped = state.cached = length - window_;
    }
}

void DraftModel::catch_up(const std::vector<Order>& orders) {
    const size_t share = std::max<size_t>(1, max_batch_tokens_ / orders.size());
    FlatBatch batch;
    for (const Order& order : orders) {
        const std::vector<int64_t>& tokens = order.sequence->tokens;
        State& state = states_[order.sequence->index];
        while (tokens.size() - state.cached > share) {
            const size_t n = std::min(max_batch_tokens_, tokens.size() - state.cached - share);
            model_.reserve(state.table, tokens.size() - state.skipped + order.tokens);
            batch.clear();
            batch.add(tokens.data() + state.cached, n, state.cached - state.skipped, state.table.blocks(), 1);
            batch.has_backlog = true;
            model_.forward(batch);
            stats().forwards += 1;
            state.cached += n;
        }
    }
}

void DraftModel::propose(const std::vector<Order>& orders) {
    skip(orders);
    catch_up(orders);
    for (const Order& order : orders) {
        State& state = states_[order.sequence->index];
        state.proposed = true;
        state.reach = 1.0;
    }
    std::vector<Order> open = orders;
    FlatBatch batch;
    while (!open.empty()) {
        batch.clear();
        for (const Order& order : open) {
            Sequence* const sequence = order.sequence;
            State& state = states_[sequence->index];
            model_.reserve(state.table, sequence->tokens.size() - state.skipped + order.tokens);
            const auto& draft = sequence->draft.tokens;
            // The committed tokens that it has not run yet, or else the token that it proposed last.
            const bool first = draft.empty();
            const int64_t* ids = first ? sequence->tokens.data() + state.cached : &draft.back();
            const size_t n = first ? sequence->tokens.size() - state.cached : 1;
            batch.add(ids, n, state.cached - state.skipped, state.table.blocks(), 1);
            batch.has_backlog = batch.has_backlog || n > FlatBatch::kRowsOfAStep;
            state.cached += n;
        }
        float* logits = model_.forward(batch);
        stats().forwards += 1;
        std::vector<Order> next;
        for (size_t i = 0; i < open.size(); ++i) {
            if (choose(open[i], logits + i * model_.vocab_size())) next.push_back(open[i]);
        }
        open.swap(next);
    }
    for (const Order& order : orders) {
        const auto& draft = order.sequence->draft.tokens;
        states_[order.sequence->index].drafted = draft;
        for (const int64_t token : draft) order.sequence->counts.pop(token);
    }
}

void DraftModel::committed(const Sequence& sequence, size_t n) {
    State& state = states_[sequence.index];
    if (state.proposed) {
        state.proposed = false;
        const size_t base = sequence.tokens.size() - n;
        const size_t matched = state.acceptance.score(0, state.drafted, sequence.tokens.data() + base, n);
        state.cached = std::min(state.cached, base + matched);
    }
    if (sequence.finished()) {
        state.table.clear();
        state.skipped = state.cached = 0;
    }
}

}  // namespace

std::unique_ptr<Proposer> make_draft_model_proposer(const ProposerParams& params, const ProposerContext& context) {
    if (params.model == nullptr) throw std::invalid_argument("The proposer 'draft_model' needs a model");
    const auto window = static_cast<size_t>(params.option("draft_window", 1e9));
    return std::make_unique<DraftModel>(
        *params.model, window, context,
        context.memory.acceptance(params.name + "/" + std::to_string(params.model->id()), 1, kPositions));
}

}  // namespace dynexec
