// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/draft_head.h"

#include <algorithm>
#include <stdexcept>

#include "runtime/backbone.h"

namespace dynexec {
DraftHead::DraftHead(const Head& head, const ProposerContext& context, const std::string& memory)
    : model_(head.model()),
      drafts_(head.vocabulary(), head.stop_classifier(), context.backbone.model().vocab_size(),
              context.confidence_threshold, context.memory, memory),
      hidden_size_(head.model().input_hidden_size()),
      max_tokens_(context.max_tokens),
      max_batch_tokens_(context.max_batch_tokens) {
    const PagedModel& target = context.backbone.model();
    if (target.hidden_size() == 0) {
        throw std::invalid_argument("The model was loaded without its hidden states, which a draft head needs");
    }
    head.check_fits(target.vocab_size(), target.hidden_size());
    if (model_.hidden_size() != hidden_size_) {
        throw std::invalid_argument(
            "The head has no output of hidden states to continue with, so it is not a draft head");
    }
}

size_t DraftHead::offer(const Sequence& sequence, size_t limit) {
    drafts_.begin_step(sequence);
    // A prompt of one token has no token after its hidden state yet.
    return states_.get(sequence).pending.empty() ? 0 : std::min(limit, max_tokens_);
}

double DraftHead::acceptance(const Sequence& sequence, size_t position) const {
    return drafts_.acceptance(sequence, position);
}

double DraftHead::seconds(const Sequence& sequence, size_t tokens) const {
    if (tokens == 0) return 0.0;
    const CostModel& cost = model_.cost_model();
    const size_t rows = pending_rows(states_.at(sequence));
    const size_t of_step = std::min(rows, FlatBatch::kRowsOfAStep);
    const double backlog = share_of_text(sequence, tokens) * (cost.seconds(rows) - cost.seconds(of_step));
    const double switches = of_step > 1 ? 2.0 * cost.switch_seconds() : 0.0;
    return cost.seconds(of_step) + static_cast<double>(tokens - 1) * cost.seconds(1) + switches + backlog;
}

size_t DraftHead::add_rows(FlatBatch& batch, const Order& order, size_t room) {
    const Sequence& sequence = *order.sequence;
    State& state = states_.at(sequence);
    const size_t past = state.cached - state.skipped;
    model_.reserve(state.table, past + pending_rows(state) + order.tokens);
    if (state.pending.empty()) {
        const auto& draft = sequence.draft.tokens;
        if (room == 0) return 0;
        batch.add(&draft.back(), 1, past + draft.size() - 1, state.table.blocks(), 1);
        batch.hidden_states.insert(batch.hidden_states.end(), state.feedback.begin(), state.feedback.end());
        return 1;
    }
    const size_t rows = std::min(pending_rows(state), room);
    if (rows == 0) return 0;
    batch.add(sequence.tokens.data() + state.cached + 1, rows, past, state.table.blocks(), 1);
    batch.has_backlog = batch.has_backlog || rows > FlatBatch::kRowsOfAStep;
    const auto end = state.pending.begin() + static_cast<std::ptrdiff_t>(rows * hidden_size_);
    batch.hidden_states.insert(batch.hidden_states.end(), state.pending.begin(), end);
    state.pending.erase(state.pending.begin(), end);
    state.cached += rows;
    return rows;
}

void DraftHead::propose(const std::vector<Order>& orders) {
    for (const Order& order : orders) states_.at(*order.sequence).proposed = true;
    std::vector<Order> open = orders;
    FlatBatch batch;
    while (!open.empty()) {
        batch.clear();
        std::vector<size_t> rows;  // one for each open sequence
        for (const Order& order : open) rows.push_back(add_rows(batch, order, max_batch_tokens_ - batch.tokens()));
        const float* words = model_.forward(batch);
        const float* hidden_states = model_.hidden_states();
        forwards_ += 1;
        std::vector<Order> next;
        for (size_t i = 0; i < open.size(); ++i) {
            Sequence& sequence = *open[i].sequence;
            State& state = states_.at(sequence);
            bool go_on = true;
            if (rows[i] > 0) {
                hidden_states += rows[i] * hidden_size_;
                if (state.pending.empty()) {
                    state.feedback.assign(hidden_states - hidden_size_, hidden_states);
                    go_on = drafts_.choose(open[i], words);
                }
                words += model_.vocab_size();
            }
            if (go_on) next.push_back(open[i]);
        }
        open.swap(next);
    }
    for (const Order& order : orders) drafts_.end(order);
}

void DraftHead::saw(const Sequence& sequence, size_t first, const float* hidden_states, size_t n) {
    State& state = states_.get(sequence);
    if (state.cached == 0 && state.pending.empty()) state.skipped = state.cached = first;
    if (first != state.cached + pending_rows(state)) throw std::logic_error("DraftHead: hidden states are missing");
    state.pending.insert(state.pending.end(), hidden_states, hidden_states + n * hidden_size_);
}

void DraftHead::committed(const Sequence& sequence, size_t n) {
    State* const state = states_.find(sequence);
    if (state == nullptr || !state->proposed) return;
    state->proposed = false;
    drafts_.committed(sequence, n);
}

void DraftHead::release(const Sequence& sequence) {
    states_.release(sequence);
    drafts_.release(sequence);
}

std::unique_ptr<Proposer> make_draft_head_proposer(const ProposerParams& params, const ProposerContext& context) {
    if (params.head == nullptr) throw std::invalid_argument("The proposer 'draft_head' needs a draft head");
    const std::string memory = params.memory_name(params.head->model().id());
    return std::make_unique<DraftHead>(*params.head, context, memory);
}

}  // namespace dynexec
