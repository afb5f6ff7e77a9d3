// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "kernels/criteria/exit_policy.h"
#include "runtime/exit_head.h"

namespace dynexec {

// Early exit proper: tokens leave the target before its last segment. The output is not the target's own.
struct EarlyExitParams {
    std::vector<Exit> exits;         // in order of depth
    std::string criterion;           // see make_criterion
    std::vector<double> thresholds;  // of each exit; an infinite one lets nothing leave
    CriterionWeights weights;        // of the criterion, if it has learned some
    bool prefill = false;            // whether prompts may leave early too
    // Whether layers that were left out get their keys and values from the hidden state that a token left with; else
    // they are run when a later token needs them.
    bool copy_kv = false;
};

// Which tokens leave at which exit.
class EarlyExit {
public:
    // Throws std::invalid_argument if the parameters do not fit each other or the target.
    EarlyExit(const EarlyExitParams& params, Backbone& backbone, size_t max_batch_tokens, size_t num_sequences);

    size_t num_exits() const { return params_.exits.size(); }
    bool prefill() const { return params_.prefill; }
    bool copies() const { return params_.copy_kv; }
    size_t segment(size_t exit) const { return params_.exits[exit].segment; }
    // Whether there is anything to ask there.
    bool asks(size_t exit) const { return heads_[exit] != nullptr; }

    // The next token of each sequence is about to be decided.
    void begin(const std::vector<const Sequence*>& sequences);
    // Has the head at an exit predict what comes after the last token that its segment has run.
    void predict(size_t exit, const std::vector<const Sequence*>& sequences);
    // Whether the i-th of those sequences leaves here; `row`, [vocab], then gets the logits it leaves with.
    bool leaves(size_t exit, size_t i, float* row, size_t vocab);
    void release(const Sequence& sequence);

private:
    const EarlyExitParams& params_;
    ExitPolicy policy_;
    std::deque<std::unique_ptr<ExitHead>> heads_;  // of each exit; none where nothing is asked
    std::vector<std::vector<ExitView>> views_;     // of each sequence: what the exits have said about its next token
    std::vector<const Sequence*> asked_;
    const float* words_ = nullptr;
};

}  // namespace dynexec
