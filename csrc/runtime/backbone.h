// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <vector>

#include "runtime/paged_model.h"
#include "runtime/sequence.h"

namespace dynexec {

// The target as the sequences of one generate call use it: each segment runs what it has not run of them yet. No
// segment runs a token twice that stands.
class Backbone {
public:
    // Is shown what a segment gives: the hidden states of the `n` tokens from index `first` on. What was shown of
    // tokens at or behind `first` before does not hold any more.
    class Tap {
    public:
        virtual ~Tap() = default;
        virtual void ran(const Sequence& sequence, size_t first, const float* hidden_states, size_t n) = 0;
    };

    Backbone(PagedModel& model, size_t max_batch_tokens) : model_(model), max_batch_tokens_(max_batch_tokens) {}

    // `tap` is shown what `segment`, not the last one, gives. It has to outlive this object.
    void add_tap(size_t segment, Tap& tap) { taps_.push_back({segment, &tap}); }

    struct Part {
        Sequence* sequence;
        size_t end;          // index into its tokens and draft, end to end
        size_t logits_rows;  // so many of its last tokens
        // So many of its last tokens stay in one pass: the hidden states of the last segment are read afterwards.
        size_t shown_rows = 0;
    };
    // Runs the segments [0, last) on all tokens of each part up to its end. Returns the logits of all parts if the last
    // segment of the model is among them, see PagedModel::forward, and else nullptr.
    // A pass of that segment is padded to `padded_rows` tokens, if it has fewer and the cache has room.
    float* run(const std::vector<Part>& parts, size_t last, size_t padded_rows = 0);

    // Gives the segments from `first` on keys and values for the tokens that wait in front of `first`, made of the
    // hidden states that they wait with (CALM, arXiv 2207.07061). These tokens then count as run.
    // Throws std::logic_error if the model has no copiers.
    void copy(const std::vector<Part>& parts, size_t first);

    PagedModel& model() { return model_; }
    const PagedModel& model() const { return model_; }

private:
    // One pass of the segments [first, last), of which all parts have run the same.
    float* run_segments(const std::vector<Part>& parts, size_t first, size_t last, size_t padded_rows);
    void copy_some(const std::vector<Part>& parts, size_t first);
    // Runs all but the last stretch of backlogs that are too long for one pass.
    void shorten(const std::vector<Part>& parts, size_t first, size_t last);

    PagedModel& model_;
    size_t max_batch_tokens_;
    struct Tapped {
        size_t segment;
        Tap* tap;
    };
    std::vector<Tapped> taps_;
    FlatBatch batch_;
};

}  // namespace dynexec
