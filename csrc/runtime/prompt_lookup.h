// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <memory>
#include <vector>

#include "kernels/ngram_index.h"
#include "runtime/acceptance.h"
#include "runtime/proposer.h"

namespace dynexec {

// Proposes what followed the latest earlier occurrence of the longest matching n-gram, in prompt and output.
class PromptLookup : public Proposer {
public:
    // Acceptance by match length, kept over generate calls.
    static AcceptanceTable make_memory();

    PromptLookup(size_t max_ngram, size_t num_sequences, AcceptanceTable& memory);

    size_t offer(const Sequence& sequence, size_t limit) override;
    double acceptance(const Sequence& sequence, size_t position) const override;
    double seconds(const Sequence&, size_t) const override { return 0.0; }
    void propose(const std::vector<Order>& orders) override;
    void committed(const Sequence& sequence, size_t n) override;

private:
    struct State {
        State(size_t max_ngram, AcceptanceTable& memory) : index(max_ngram), acceptance(memory) {}
        NGramIndex index;
        RunningAcceptance acceptance;
        size_t context = 0;
        std::vector<int64_t> offered;
    };
    void catch_up(State& state, const Sequence& sequence);

    std::vector<State> states_;
};

}  // namespace dynexec
