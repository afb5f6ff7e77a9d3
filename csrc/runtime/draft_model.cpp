// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <algorithm>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "runtime/backbone.h"
#include "runtime/draft_tokens.h"
#include "runtime/per_sequence.h"
#include "runtime/proposer.h"

namespace dynexec {
namespace {

// The first pass of a draft has two rows where the previous draft was right to its end, and the others have one. Each
// change of the number of rows costs CostModel::switch_seconds(). A pass of two rows, of which one repeats the word
// before, may cost less: if its additional time in a draft of so many passes is less than one change.
constexpr double kPassesOfADraft = 3.0;

// Proposes the tokens of a smaller causal LM with the same tokenizer.
class DraftModel : public Proposer {
public:
    // `vocabulary`: the tokens of the first logits of the model. `window`: the model reads at most so many of the last
    // tokens when it has not read what came before them. The observations are kept under the name `memory`.
    DraftModel(PagedModel& model, std::shared_ptr<const DraftVocabulary> vocabulary, size_t window,
               const ProposerContext& context, const std::string& memory)
        : model_(model),
          vocabulary_(std::move(vocabulary)),
          drafts_(*vocabulary_, nullptr, context.backbone.model().vocab_size(), context.confidence_threshold,
                  context.memory, memory),
          window_(window),
          max_batch_tokens_(context.max_batch_tokens),
          max_tokens_(context.max_tokens) {
        const CostModel& cost = model_.cost_model();
        rows_ = kPassesOfADraft * (cost.seconds(2) - cost.seconds(1)) < cost.switch_seconds() ? 2 : 1;
        vocabulary_->check_fits(context.backbone.model().vocab_size());
        if (vocabulary_->size() > model_.vocab_size()) {
            throw std::invalid_argument("The draft model has " + std::to_string(model_.vocab_size()) + " logits, but " +
                                        std::to_string(vocabulary_->size()) + " tokens");
        }
    }

    size_t offer(const Sequence& sequence, size_t limit) override;
    double acceptance(const Sequence& sequence, size_t position) const override;
    double seconds(const Sequence& sequence, size_t tokens) const override;
    void propose(const std::vector<Order>& orders) override;
    void committed(const Sequence& sequence, size_t n) override;
    void begin() override { drafts_.begin(); }
    void release(const Sequence& sequence) override;

private:
    struct State {
        BlockTable table;
        // The tokens of the sequence, and of the draft, as the model reads them: see DraftVocabulary::spell.
        std::vector<int64_t> words;
        std::vector<size_t> ends;  // the number of words after each token
        size_t skipped = 0;        // words before those that the model has read
        size_t cached = 0;         // words that it has read or skipped
        bool proposed = false;
    };
    void spell(State& state, int64_t token) const;
    // Leaves out what is longer ago than the window.
    void skip(State& state) const;
    // Runs all of a long backlog, usually a prompt, except its last chunk.
    void catch_up(const std::vector<Order>& orders);
    // Adds the next `n` words to the batch.
    void add_words(FlatBatch& batch, State& state, size_t n) const;

    PagedModel& model_;
    std::shared_ptr<const DraftVocabulary> vocabulary_;
    DraftTokens drafts_;
    size_t window_;
    size_t max_batch_tokens_;
    size_t max_tokens_;
    size_t rows_;  // of a pass without a backlog
    PerSequence<State> states_;
};

void DraftModel::spell(State& state, int64_t token) const {
    vocabulary_->spell(token, state.words);
    state.ends.push_back(state.words.size());
}

size_t DraftModel::offer(const Sequence& sequence, size_t limit) {
    drafts_.begin_step(sequence);
    State& state = states_.get(sequence);
    while (state.ends.size() < sequence.tokens.size()) spell(state, sequence.tokens[state.ends.size()]);
    // The last tokens may have no words.
    return state.words.size() > state.cached ? std::min(limit, max_tokens_) : 0;
}

double DraftModel::acceptance(const Sequence& sequence, size_t position) const {
    return drafts_.acceptance(sequence, position);
}

double DraftModel::seconds(const Sequence& sequence, size_t tokens) const {
    if (tokens == 0) return 0.0;
    const State& state = states_.at(sequence);
    const size_t backlog = std::min(window_, state.words.size() - state.cached);
    const CostModel& cost = model_.cost_model();
    const size_t first = std::clamp(backlog, rows_, FlatBatch::kRowsOfAStep);
    const double switches = first > rows_ ? 2.0 * cost.switch_seconds() : 0.0;
    const double catching_up = backlog > first ? cost.seconds(backlog) - cost.seconds(first) : 0.0;
    const double share = share_of_text(sequence, tokens);
    return cost.seconds(first) + static_cast<double>(tokens - 1) * cost.seconds(rows_) + switches + share * catching_up;
}

void DraftModel::skip(State& state) const {
    if (state.words.size() - state.cached <= window_) return;
    state.table.clear();
    state.skipped = state.cached = state.words.size() - window_;
}

void DraftModel::add_words(FlatBatch& batch, State& state, size_t n) const {
    model_.reserve(state.table, state.words.size() - state.skipped + max_tokens_);
    // A word that is run again has the same keys and values.
    const size_t again = n < rows_ && state.cached > state.skipped ? rows_ - n : 0;
    const size_t begin = state.cached - again;
    batch.add(state.words.data() + begin, n + again, begin - state.skipped, state.table.blocks(), 1);
    batch.has_backlog = batch.has_backlog || n > FlatBatch::kRowsOfAStep;
    state.cached += n;
}

void DraftModel::catch_up(const std::vector<Order>& orders) {
    const size_t share = std::max<size_t>(1, max_batch_tokens_ / orders.size());
    FlatBatch batch;
    for (const Order& order : orders) {
        State& state = states_.at(*order.sequence);
        while (state.words.size() - state.cached > share) {
            batch.clear();
            add_words(batch, state, std::min(max_batch_tokens_, state.words.size() - state.cached - share));
            model_.forward(batch);
            forwards_ += 1;
        }
    }
}

void DraftModel::propose(const std::vector<Order>& orders) {
    for (const Order& order : orders) {
        State& state = states_.at(*order.sequence);
        state.proposed = true;
        skip(state);
    }
    catch_up(orders);
    std::vector<Order> open = orders;
    FlatBatch batch;
    while (!open.empty()) {
        batch.clear();
        // The committed tokens that it has not run yet, or else the token that it proposed last.
        for (const Order& order : open) {
            State& state = states_.at(*order.sequence);
            add_words(batch, state, state.words.size() - state.cached);
        }
        const float* logits = model_.forward(batch);
        forwards_ += 1;
        std::vector<Order> next;
        for (size_t i = 0; i < open.size(); ++i) {
            if (!drafts_.choose(open[i], logits + i * model_.vocab_size())) continue;
            spell(states_.at(*open[i].sequence), open[i].sequence->draft.tokens.back());
            next.push_back(open[i]);
        }
        open.swap(next);
    }
    for (const Order& order : orders) drafts_.end(order);
}

void DraftModel::committed(const Sequence& sequence, size_t n) {
    State* const state = states_.find(sequence);
    if (state == nullptr || !state->proposed) return;
    state->proposed = false;
    const size_t right = sequence.tokens.size() - n + drafts_.committed(sequence, n);
    state->ends.resize(std::min(state->ends.size(), right));
    state->words.resize(state->ends.back());
    state->cached = std::min(state->cached, state->words.size());
}

void DraftModel::release(const Sequence& sequence) {
    states_.release(sequence);
    drafts_.release(sequence);
}

}  // namespace

std::unique_ptr<Proposer> make_draft_model_proposer(const ProposerParams& params, const ProposerContext& context) {
    if (params.model == nullptr) throw std::invalid_argument("The proposer 'draft_model' needs a model");
    auto vocabulary = params.vocabulary;
    if (vocabulary == nullptr) {
        std::vector<int64_t> same(std::min(params.model->vocab_size(), context.backbone.model().vocab_size()));
        std::iota(same.begin(), same.end(), 0);
        vocabulary = std::make_shared<DraftVocabulary>(std::move(same));
    }
    const auto window = static_cast<size_t>(params.option("draft_window", 1e9));
    return std::make_unique<DraftModel>(*params.model, std::move(vocabulary), window, context,
                                        params.memory_name(params.model->id()));
}

}  // namespace dynexec
