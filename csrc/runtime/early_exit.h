// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "kernels/criteria/exit_policy.h"
#include "runtime/exit_head.h"
#include "runtime/per_sequence.h"

namespace dynexec {

// Lossy early exit: tokens exit the target before its last segment. The output can differ from that of the target.
struct EarlyExitParams {
    std::vector<Exit> exits;         // in order of depth
    std::string criterion;           // see make_criterion
    std::vector<double> thresholds;  // of each exit; with an infinite threshold, no token exits
    CriterionWeights weights;        // learned weights of the criterion, if any
    bool prefill = false;            // whether prompts may exit early too
    // Whether skipped layers get their keys and values from the hidden state with which a token exited. Otherwise they
    // run when a later token needs them.
    bool copy_kv = false;
};
bool operator==(const EarlyExitParams& a, const EarlyExitParams& b);

// Decides which tokens exit, and where, for all calls with the same parameters.
class EarlyExit {
public:
    // Throws std::invalid_argument if the parameters do not fit each other or the target.
    EarlyExit(const EarlyExitParams& params, Backbone& backbone, size_t max_batch_tokens);

    bool is(const EarlyExitParams& params) const;

    size_t num_exits() const { return params_.exits.size(); }
    bool prefill() const { return params_.prefill; }
    bool copies() const { return params_.copy_kv; }
    size_t segment(size_t exit) const { return params_.exits[exit].segment; }
    // Whether the exit has anything to evaluate.
    bool asks(size_t exit) const { return heads_[exit] != nullptr; }

    // A sequence begins to run.
    void begin(const Sequence& sequence);
    // Called before the next token of a sequence is decided.
    void begin_step(const Sequence& sequence) { views_.get(sequence).clear(); }
    // Runs the head at an exit: it predicts the token after the last token that its segment has run.
    void predict(size_t exit, const std::vector<const Sequence*>& sequences);
    // Whether the i-th of these sequences exits here. If so, `row`, [vocab], receives the logits of the exit.
    bool leaves(size_t exit, size_t i, float* row, size_t vocab);
    // A sequence has ended, or starts again.
    void release(const Sequence& sequence);

private:
    const EarlyExitParams params_;
    ExitPolicy policy_;
    std::deque<std::unique_ptr<ExitHead>> heads_;  // of each exit; nullptr if nothing is evaluated there
    PerSequence<std::vector<ExitView>> views_;     // of the exits on the next token of a sequence
    std::vector<const Sequence*> asked_;
    const float* words_ = nullptr;
};

}  // namespace dynexec
