// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/sequence.h"
#include "runtime/speculation_memory.h"

namespace dynexec {

class Backbone;
class DraftVocabulary;
class Head;
class PagedModel;

// A source of draft tokens for the sequences of a decode loop. A new proposer is a subclass in its own file and a line
// in the registry of proposer.cpp.
class Proposer {
public:
    virtual ~Proposer() = default;

    // A call that it drafts for begins.
    virtual void begin() {}
    // A sequence begins to run. Between this call and release(), all of its tokens are run.
    virtual void begin(const Sequence& sequence) { static_cast<void>(sequence); }
    // The state of a sequence is no longer needed: it has ended, or starts again from its first token.
    virtual void release(const Sequence& sequence) = 0;
    // Whether the target must run every token of a sequence, also those whose keys and values are known.
    virtual bool needs_whole_text() const { return false; }

    // The number of tokens, at most `limit`, that it could propose for `sequence` now.
    virtual size_t offer(const Sequence& sequence, size_t limit) = 0;
    // For this offer: P(the token at `position` is accepted | all tokens before it were accepted). After propose() has
    // been called in a step, it refers to the proposed tokens.
    virtual double acceptance(const Sequence& sequence, size_t position) const = 0;
    // For this offer: the time to draft its first `tokens` tokens.
    virtual double seconds(const Sequence& sequence, size_t tokens) const = 0;

    struct Order {
        Sequence* sequence;
        size_t tokens;  // at most the number that was offered
        // Ends a draft after a token that is reached with a smaller probability. A token must never be dropped because
        // of its own value: the verified tokens would then no longer occur with the probabilities that they were drawn
        // with.
        double least_reach = 0.0;
        // Whether a head with a stop classifier uses it.
        bool learned_stop = false;
    };
    // Fills `sequence->draft` with at most the ordered number of tokens, for each order.
    virtual void propose(const std::vector<Order>& orders) = 0;

    // The target has run `n` committed tokens of `sequence`, from index `first` on, and has computed `hidden_states`,
    // [n, its hidden_size()], for them. Called for every token except the last, in order, and only if the target
    // returns hidden states. The first tokens are missing if they were found in the prefix cache.
    virtual void saw(const Sequence& sequence, size_t first, const float* hidden_states, size_t n) {
        static_cast<void>(sequence), static_cast<void>(first), static_cast<void>(hidden_states), static_cast<void>(n);
    }

    // `n` tokens have just been appended to `sequence`, whether or not this proposer was asked. sequence.draft still
    // contains the verified draft.
    virtual void committed(const Sequence& sequence, size_t n) = 0;

    // The number of forward passes of its own model.
    size_t forwards() const { return forwards_; }

protected:
    // The share of the remaining text that a step with the first `tokens` tokens of this offer is expected to give.
    // What all later drafts need too, usually the prompt, is charged to the steps by these shares.
    double share_of_text(const Sequence& sequence, size_t tokens) const {
        double expected = 1.0, reach = 1.0;
        for (size_t i = 0; i < tokens; ++i) expected += reach *= acceptance(sequence, i);
        return std::min(1.0, expected / static_cast<double>(sequence.remaining()));
    }

    size_t forwards_ = 0;
};

// The parameters of a proposer: its name in the registry, and the models and numbers that it needs.
struct ProposerParams {
    std::string name;
    std::shared_ptr<PagedModel> model;                  // another model than the target
    std::shared_ptr<const DraftVocabulary> vocabulary;  // of this model; all of its logits without one
    std::shared_ptr<const Head> head;                   // of the target
    size_t segment = 0;                                 // segment of the target after which the head reads
    std::map<std::string, double> options;
    std::string memory{};  // the name under which observations are kept; empty: one of this model or head

    // `id`: of the model or head.
    std::string memory_name(uint64_t id) const { return memory.empty() ? name + "/" + std::to_string(id) : memory; }

    double option(const std::string& option, double otherwise) const {
        const auto found = options.find(option);
        return found == options.end() ? otherwise : found->second;
    }
};

// What a proposer is made for.
struct ProposerContext {
    Backbone& backbone;          // the target
    size_t max_batch_tokens;     // longest pass of a model
    size_t max_tokens;           // longest draft
    float confidence_threshold;  // a draft of a model or head ends after a token whose probability is below it
    SpeculationMemory& memory;   // the observations of proposers
};

// See the registry in proposer.cpp. Throws std::invalid_argument for an unknown name, or parameters that do not fit.
std::unique_ptr<Proposer> make_proposer(const ProposerParams& params, const ProposerContext& context);
std::vector<std::string> proposer_names();

}  // namespace dynexec
