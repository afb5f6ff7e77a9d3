// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <vector>

#include "runtime/sequence.h"
#include "runtime/stats.h"

namespace dynexec {

// A source of draft tokens for the sequences of one generate call. A new one is a subclass in a file of its own and a
// line in make_proposers (decode_loop.cpp).
class Proposer {
public:
    explicit Proposer(const char* name) { stats_.name = name; }
    virtual ~Proposer() = default;

    // How many tokens, at most `limit`, it could propose for `sequence` now.
    virtual size_t offer(const Sequence& sequence, size_t limit) = 0;
    // Of that offer: P(the token at `position` is accepted | all before it were). Once propose() has been called in a
    // step, it is about the tokens that were proposed.
    virtual double acceptance(const Sequence& sequence, size_t position) const = 0;
    // Of that offer: time to make its first `tokens` tokens.
    virtual double seconds(const Sequence& sequence, size_t tokens) const = 0;

    struct Order {
        Sequence* sequence;
        size_t tokens;  // at most what was offered
        // Ends a draft behind a token that is reached with a smaller probability. No token may be left out for what it
        // is itself: among those that are verified, each would then no longer come with the probability it was drawn
        // with.
        double least_reach = 0.0;
        // Whether a head asks its stop classifier how sure it is, where it has one.
        bool learned_stop = false;
    };
    // Fills `sequence->draft` with at most the ordered number of tokens, for each order.
    virtual void propose(const std::vector<Order>& orders) = 0;

    // The target has run `n` tokens of `sequence` that stand, those from index `first` on; `hidden_states`, [n, its
    // hidden_size()], are what it computed for them. Called for every token that is not the last, in order, and only if
    // the target gives hidden states.
    virtual void saw(const Sequence& sequence, size_t first, const float* hidden_states, size_t n) {
        static_cast<void>(sequence), static_cast<void>(first), static_cast<void>(hidden_states), static_cast<void>(n);
    }

    // `n` tokens have just been appended to `sequence`, whether or not this proposer had been asked; sequence.draft
    // still holds what was verified.
    virtual void committed(const Sequence& sequence, size_t n) = 0;

    ProposerStats& stats() { return stats_; }

private:
    ProposerStats stats_;
};

}  // namespace dynexec
