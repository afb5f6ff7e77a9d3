// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "runtime/head_drafts.h"
#include "runtime/proposer.h"

namespace dynexec {

// Proposes what a head on the target's last hidden states predicts, token after token (EAGLE, arXiv 2401.15077).
//
// Row i of the head takes the hidden state h_i of the target at token i, and token i + 1; it predicts token i + 2.
// Behind the last h_i there is, a row takes what the head itself gives in the row before. Only rows of the target's own
// hidden states stay in the head's cache: a drafted row is computed anew when the target has seen its token.
class DraftHead : public Proposer {
public:
    // What is learned is kept in the context's memory under the name `memory`. Throws std::invalid_argument if the head
    // does not fit the target.
    DraftHead(const Head& head, const ProposerContext& context, const std::string& memory);

    size_t offer(const Sequence& sequence, size_t limit) override;
    double acceptance(const Sequence& sequence, size_t position) const override;
    double seconds(const Sequence& sequence, size_t tokens) const override;
    void propose(const std::vector<Order>& orders) override;
    void saw(const Sequence& sequence, size_t first, const float* hidden_states, size_t n) override;
    void committed(const Sequence& sequence, size_t n) override;

private:
    struct State {
        BlockTable table;
        size_t cached = 0;            // rows of the target's hidden states that the head has run
        std::vector<float> pending;   // [rows, hidden size]: the target's, those that come next
        std::vector<float> feedback;  // [hidden size]: the head's own, of the last row it ran
        bool proposed = false;
    };
    size_t pending_rows(const State& state) const { return state.pending.size() / hidden_size_; }
    // Adds what comes next for the order, of at most `room` rows, to the batch: the target's hidden states as long as
    // there are any, then the head's own. Returns the number of rows.
    size_t add_rows(FlatBatch& batch, const Order& order, size_t room);

    PagedModel& model_;
    HeadDrafts drafts_;
    size_t hidden_size_;
    size_t max_tokens_;
    size_t max_batch_tokens_;
    std::deque<State> states_;  // a block table does not move
};

}  // namespace dynexec
