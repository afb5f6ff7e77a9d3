// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/sequence.h"
#include "runtime/speculation_memory.h"
#include "runtime/stats.h"

namespace dynexec {

class Backbone;
class Head;
class PagedModel;

// A source of draft tokens for the sequences of one generate call. A new one is a subclass in a file of its own and a
// line in the registry of proposer.cpp.
class Proposer {
public:
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

// A proposer as a call asks for it: its name in the registry, and what it drafts with, as far as it needs any of it.
struct ProposerParams {
    std::string name;
    std::shared_ptr<PagedModel> model;  // another model than the target
    std::shared_ptr<const Head> head;   // of the target
    size_t segment = 0;                 // of the target, behind which the head reads
    std::map<std::string, double> options;

    double option(const std::string& option, double otherwise) const {
        const auto found = options.find(option);
        return found == options.end() ? otherwise : found->second;
    }
};

// What a proposer is made for.
struct ProposerContext {
    Backbone& backbone;       // the target
    size_t max_batch_tokens;  // longest pass of a model
    size_t num_sequences;
    size_t max_tokens;           // longest draft
    float confidence_threshold;  // a draft of a model or head ends after a token whose probability is below it
    SpeculationMemory& memory;   // what proposers have learned
};

// See the registry in proposer.cpp. Throws std::invalid_argument for an unknown name, or parameters that do not fit.
std::unique_ptr<Proposer> make_proposer(const ProposerParams& params, const ProposerContext& context);
std::vector<std::string> proposer_names();

}  // namespace dynexec
