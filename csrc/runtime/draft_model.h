// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <deque>
#include <vector>

#include "runtime/acceptance.h"
#include "runtime/paged_model.h"
#include "runtime/proposer.h"

namespace dynexec {

// Proposes what a smaller causal LM with the same tokenizer would write.
class DraftModel : public Proposer {
public:
    static AcceptanceTable make_memory();

    // `max_tokens`: longest draft. `confidence_threshold`: a draft ends after a token whose probability is below it;
    // 0 switches that off. `vocab`: the target's, in which the draft's probabilities are given.
    DraftModel(PagedModel& model, size_t vocab, size_t max_tokens, float confidence_threshold, size_t num_sequences,
               AcceptanceTable& memory);

    size_t offer(const Sequence& sequence, size_t limit) override;
    double acceptance(const Sequence& sequence, size_t position) const override;
    double seconds(const Sequence& sequence, size_t tokens) const override;
    void propose(const std::vector<Order>& orders) override;
    void committed(const Sequence& sequence, size_t n) override;

private:
    struct State {
        explicit State(AcceptanceTable& memory) : acceptance(memory) {}
        BlockTable table;
        size_t cached = 0;
        RunningAcceptance acceptance;
        bool proposed = false;
        std::vector<int64_t> drafted;  // in this step, whether or not it is verified
        double reach = 1.0;            // P(all that was drafted in this step is accepted)
    };
    // Chooses the next draft token from `row`; returns whether the draft may go on.
    bool choose(const Order& order, float* row);

    PagedModel& model_;
    size_t vocab_;
    size_t max_tokens_;
    float confidence_threshold_;
    std::deque<State> states_;  // a block table does not move
};

}  // namespace dynexec
