// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <memory>
#include <vector>

#include "runtime/backbone.h"
#include "runtime/head.h"
#include "runtime/per_sequence.h"

namespace dynexec {

// The place where a head reads: after `segment` of the target, which is not the last segment.
struct Exit {
    std::shared_ptr<const Head> head;
    size_t segment;
};

// An exit head that runs on the sequences of a decode loop that it was told of. It predicts the token after the last
// one that its segment has run. A head with a transformer block has its own KV cache. It runs every token once, at the
// next prediction.
class ExitHead : public Backbone::Tap {
public:
    // Throws std::invalid_argument if the head does not fit the target there.
    ExitHead(const Exit& exit, Backbone& backbone, size_t max_batch_tokens);
    ~ExitHead() override;
    ExitHead(const ExitHead&) = delete;
    ExitHead& operator=(const ExitHead&) = delete;

    // A sequence begins to run. Until release(), the head sees its hidden states.
    void begin(const Sequence& sequence) { states_.get(sequence); }
    void release(const Sequence& sequence) { states_.release(sequence); }

    // Logits over its vocabulary after the last token of each sequence, [sequences, words], valid until the next call.
    float* predict(const std::vector<const Sequence*>& sequences);
    // Time to predict after `rows` new tokens.
    double seconds(size_t rows) const;
    // Time for the tokens of a sequence that the head has not run yet, in addition to the time for one token.
    double backlog_seconds(const Sequence& sequence) const;

    const Head& head() const { return *head_; }
    size_t segment() const { return segment_; }
    size_t forwards() const { return forwards_; }

    void ran(const Sequence& sequence, size_t first, const float* hidden_states, size_t n) override;

private:
    struct State {
        BlockTable table;
        size_t cached = 0;
        std::vector<float>
            pending;  // [rows, hidden size], of the tokens from `cached` on; without a cache, of the last token
    };
    void add_rows(FlatBatch& batch, const Sequence& sequence, size_t rows);
    size_t pending_rows(const State& state) const { return state.pending.size() / hidden_size_; }
    float* run(const FlatBatch& batch);

    std::shared_ptr<const Head> head_;
    size_t segment_;
    Backbone& backbone_;
    PagedModel& model_;
    size_t hidden_size_;
    bool has_cache_;
    size_t max_batch_tokens_;
    size_t forwards_ = 0;
    PerSequence<State> states_;
};

}  // namespace dynexec
