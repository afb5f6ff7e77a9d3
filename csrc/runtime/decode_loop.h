// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "runtime/acceptance.h"
#include "runtime/early_exit.h"
#include "runtime/head_drafts.h"
#include "runtime/paged_model.h"
#include "runtime/run.h"

namespace dynexec {

// How to speculate. With no proposer switched on the loop is plain decoding.
struct SpeculationParams {
    bool prompt_lookup = false;
    size_t max_matching_ngram_size = 8;
    std::shared_ptr<const Head> draft_head;  // one of the target's own
    std::vector<Exit> exits;                 // where exit heads of the target draft
    PagedModel* draft_model = nullptr;
    float assistant_confidence_threshold = 0.0f;
    std::string lookahead = "auto";  // see make_lookahead
    size_t num_assistant_tokens = 31;
};

// The decode loop every mode runs in: propose, run, decide, commit. Rolling back is leaving rejected tokens behind.
// Thread safe: calls on one model take turns.
class DecodeLoop {
public:
    // `max_batch_tokens`: longest prompt chunk of one forward pass.
    DecodeLoop(PagedModel& target, size_t max_batch_tokens);

    // Throws std::invalid_argument for an empty prompt or a token id outside the vocabulary.
    // `early_exit`: nullptr for none. It excludes speculation.
    GenerationResult generate(const std::vector<SequenceRequest>& requests, const SpeculationParams& speculation,
                              const Hooks& hooks, const EarlyExitParams* early_exit = nullptr);

private:
    void validate(const std::vector<SequenceRequest>& requests) const;

    PagedModel& target_;
    size_t max_batch_tokens_;
    // What was learned about acceptance on earlier calls.
    AcceptanceTable prompt_lookup_memory_;
    std::map<const PagedModel*, AcceptanceTable> draft_memory_;
    std::map<const PagedModel*, HeadDrafts::Memory> head_memory_;
    double heuristic_tokens_ = 0.0;
};

}  // namespace dynexec
