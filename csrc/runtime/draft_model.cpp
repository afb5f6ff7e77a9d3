// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <algorithm>
#include <deque>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "runtime/backbone.h"
#include "runtime/draft_tokens.h"
#include "runtime/proposer.h"

namespace dynexec {
namespace {

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
                  context.num_sequences, context.memory, memory),
          window_(window),
          max_batch_tokens_(context.max_batch_tokens),
          max_tokens_(context.max_tokens),
          states_(context.num_sequences) {
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

private:
    struct State {
        BlockTable table;
        size_t skipped = 0;  // tokens before those that the model has read
        size_t cached = 0;   // tokens that it has read or skipped
        bool proposed = false;
    };
    // Leaves out what is longer ago than the window.
    void skip(const std::vector<Order>& orders);
    // Runs all of a long backlog, usually a prompt, except its last chunk.
    void catch_up(const std::vector<Order>& orders);

    PagedModel& model_;
    std::shared_ptr<const DraftVocabulary> vocabulary_;
    DraftTokens drafts_;
    size_t window_;
    size_t max_batch_tokens_;
    size_t max_tokens_;
    std::deque<State> states_;  // a block table does not move
};

size_t DraftModel::offer(const Sequence& sequence, size_t limit) {
    drafts_.begin(sequence);
    return std::min(limit, max_tokens_);
}

double DraftModel::acceptance(const Sequence& sequence, size_t position) const {
    return drafts_.acceptance(sequence, position);
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
    for (const Order& order : orders) states_[order.sequence->index].proposed = true;
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
        const float* logits = model_.forward(batch);
        stats().forwards += 1;
        std::vector<Order> next;
        for (size_t i = 0; i < open.size(); ++i) {
            if (drafts_.choose(open[i], logits + i * model_.vocab_size())) next.push_back(open[i]);
        }
        open.swap(next);
    }
    for (const Order& order : orders) drafts_.end(order);
}

void DraftModel::committed(const Sequence& sequence, size_t n) {
    State& state = states_[sequence.index];
    if (state.proposed) {
        state.proposed = false;
        const size_t base = sequence.tokens.size() - n;
        state.cached = std::min(state.cached, base + drafts_.committed(sequence, n));
    }
    if (sequence.finished()) {
        state.table.clear();
        state.skipped = state.cached = 0;
    }
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
    const std::string memory = params.name + "/" + std::to_string(params.model->id());
    return std::make_unique<DraftModel>(*params.model, std::move(vocabulary), window, context, memory);
}

}  // namespace dynexec
