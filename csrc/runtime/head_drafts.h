// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <string>
#include <vector>

#include "runtime/acceptance.h"
#include "runtime/head.h"
#include "runtime/proposer.h"

namespace dynexec {

// Chooses draft tokens from the logits of a head, and keeps account of how often they are accepted: by position for
// drafts to come, by how sure the head was for those that are made.
class HeadDrafts {
public:
    // `confidence_threshold`: a draft ends after a token whose probability is below it. What is learned is kept
    // in `memory` under `name`.
    HeadDrafts(const Head& head, size_t vocab, float confidence_threshold, size_t num_sequences,
               SpeculationMemory& memory, const std::string& name);

    // A new step.
    void begin(const Sequence& sequence);
    // Appends the next draft token from `words`, the head's logits. Returns whether the draft may go on.
    bool choose(const Proposer::Order& order, const float* words);
    // Takes the draft out of the token counts that the processors look at, where choose() had put it.
    void end(const Proposer::Order& order);
    // See Proposer.
    double acceptance(const Sequence& sequence, size_t position) const;
    void committed(const Sequence& sequence, size_t n);

private:
    struct State {
        State(AcceptanceTable& positions, AcceptanceTable& confidences)
            : by_position(positions), by_confidence(confidences) {}
        RunningAcceptance by_position;
        RunningAcceptance by_confidence;
        // What was proposed in this step, whether or not it is verified.
        std::vector<int64_t> drafted;
        std::vector<double> confidence;  // of the head, per token
        double reach = 1.0;              // P(all of it is accepted)
        bool unsure = false;             // the draft was ended for its reach
    };
    double acceptance_of(const State& state, size_t position) const;

    const Head& head_;
    size_t vocab_;
    float confidence_threshold_;
    std::vector<State> states_;
    std::vector<float> row_;  // [vocab]
};

}  // namespace dynexec
