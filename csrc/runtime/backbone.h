// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <vector>

#include "runtime/paged_model.h"
#include "runtime/sequence.h"

namespace dynexec {

// The target, as used by the sequences of a decode loop: each segment runs the tokens that it has not run yet. No
// segment runs a committed token twice.
class Backbone {
public:
    // Receives the output of a segment: the hidden states of the `n` tokens from index `first` on. Earlier values for
    // these tokens and the tokens after them are no longer valid.
    class Tap {
    public:
        virtual ~Tap() = default;
        virtual void ran(const Sequence& sequence, size_t first, const float* hidden_states, size_t n) = 0;
    };

    Backbone(PagedModel& model, size_t max_batch_tokens) : model_(model), max_batch_tokens_(max_batch_tokens) {}

    // `tap` receives the output of `segment`, which is not the last segment. It must outlive this object.
    void add_tap(size_t segment, Tap& tap) { taps_.push_back({segment, &tap}); }
    void remove_tap(const Tap& tap);

    struct Part {
        Sequence* sequence;
        size_t end;          // index into its tokens and draft, end to end
        size_t logits_rows;  // number of its last tokens
        // Number of its last tokens that stay in one pass, because the hidden states of the last segment are read
        // afterwards.
        size_t shown_rows = 0;
    };
    // Runs the segments [0, last) on all tokens of each part up to its end. Returns the logits of all parts (see
    // PagedModel::forward), or nullptr if the last segment of the model is not among the segments. A pass of the last
    // segment is padded to `padded_rows` tokens if it has fewer and the cache has room.
    float* run(const std::vector<Part>& parts, size_t last, size_t padded_rows = 0);
    // Of each part: the number of tokens in the latest pass.
    const std::vector<size_t>& rows_run() const { return rows_run_; }

    // Gives the segments from `first` on keys and values for the tokens that wait in front of `first`, computed from
    // the hidden states of these tokens (CALM, arXiv 2207.07061). These tokens then count as run. Throws
    // std::logic_error if the model has no copiers.
    void copy(const std::vector<Part>& parts, size_t first);

    PagedModel& model() { return model_; }
    const PagedModel& model() const { return model_; }

private:
    // One pass of the segments [first, last), in which all parts have the same progress.
    float* run_segments(const std::vector<Part>& parts, size_t first, size_t last, size_t padded_rows);
    void copy_some(const std::vector<Part>& parts, size_t first);
    // Runs all chunks except the last one of backlogs that are too long for one pass.
    void shorten(const std::vector<Part>& parts, size_t first, size_t last);

    PagedModel& model_;
    size_t max_batch_tokens_;
    struct Tapped {
        size_t segment;
        Tap* tap;
    };
    std::vector<Tapped> taps_;
    FlatBatch batch_;
    std::vector<size_t> rows_run_;
};

}  // namespace dynexec
