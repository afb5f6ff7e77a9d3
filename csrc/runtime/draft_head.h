// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <string>
#include <vector>

#include "runtime/draft_tokens.h"
#include "runtime/head.h"
#include "runtime/per_sequence.h"
#include "runtime/proposer.h"

namespace dynexec {

// Proposes the predictions of a head on the last hidden states of the target, one token after the other (EAGLE, arXiv
// 2401.15077).
//
// Row i of the head takes the hidden state h_i of the target at token i, and token i + 1; it predicts token i + 2.
// After the last available h_i, a row takes the output of the head in the previous row. Only rows with hidden states
// of the target stay in the cache of the head: a drafted row is computed again after the target has run its token.
class DraftHead : public Proposer {
public:
    // The observations are kept in the context's memory under the name `memory`. Throws std::invalid_argument if the
    // head does not fit the target.
    DraftHead(const Head& head, const ProposerContext& context, const std::string& memory);

    size_t offer(const Sequence& sequence, size_t limit) override;
    double acceptance(const Sequence& sequence, size_t position) const override;
    double seconds(const Sequence& sequence, size_t tokens) const override;
    void propose(const std::vector<Order>& orders) override;
    void saw(const Sequence& sequence, size_t first, const float* hidden_states, size_t n) override;
    void committed(const Sequence& sequence, size_t n) override;
    void begin() override { drafts_.begin(); }
    void release(const Sequence& sequence) override;

private:
    struct State {
        BlockTable table;
        size_t skipped = 0;           // first tokens whose hidden states the target has not computed
        size_t cached = 0;            // tokens whose hidden states the head has run or skipped
        std::vector<float> pending;   // [rows, hidden size]: the next hidden states of the target
        std::vector<float> feedback;  // [hidden size]: the output of the head in its last row
        bool proposed = false;
    };
    size_t pending_rows(const State& state) const { return state.pending.size() / hidden_size_; }
    // Adds the next rows of the order, at most `room`, to the batch: the hidden states of the target as long as there
    // are any, then the output of the head. Returns the number of rows.
    size_t add_rows(FlatBatch& batch, const Order& order, size_t room);

    PagedModel& model_;
    DraftTokens drafts_;
    size_t hidden_size_;
    size_t max_tokens_;
    size_t max_batch_tokens_;
    PerSequence<State> states_;
};

}  // namespace dynexec
