// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <string>
#include <vector>

#include "kernels/stop_classifier.h"
#include "runtime/acceptance.h"
#include "runtime/draft_vocabulary.h"
#include "runtime/per_sequence.h"
#include "runtime/proposer.h"

namespace dynexec {

// Chooses draft tokens from the logits of a draft model or a head, and estimates how often they are accepted: by
// position for future drafts, by the probability that it gives them for the present drafts.
class DraftTokens {
public:
    // `vocabulary` and `stop_classifier` must outlive it; the latter may be null. `vocab`: the size of the target's
    // vocabulary. `confidence_threshold`: a draft ends after a token whose probability is below it. The observations
    // are kept in `memory` under `name`.
    DraftTokens(const DraftVocabulary& vocabulary, const StopClassifier* stop_classifier, size_t vocab,
                float confidence_threshold, SpeculationMemory& memory, const std::string& name);

    // A call begins: observations of earlier ones fade, so that drafts that are no longer used are tried again.
    void begin() { positions_.forget(0.8); }

    // A new step begins.
    void begin_step(const Sequence& sequence);
    // Appends the next draft token from `words`, logits of the vocabulary. Returns whether the draft may go on.
    bool choose(const Proposer::Order& order, const float* words);
    // Removes the draft from the token counts of the processors, to which choose() has added it.
    void end(const Proposer::Order& order);
    // See Proposer.
    double acceptance(const Sequence& sequence, size_t position) const;
    // Returns the number of draft tokens that were right, whether they were verified or not.
    size_t committed(const Sequence& sequence, size_t n);
    void release(const Sequence& sequence) { states_.release(sequence); }

private:
    struct State {
        State(AcceptanceTable& positions, AcceptanceTable& confidences)
            : by_position(positions), by_confidence(confidences) {}
        RunningAcceptance by_position;
        RunningAcceptance by_confidence;
        // The tokens proposed in this step, whether or not they are verified.
        std::vector<int64_t> drafted;
        std::vector<double> confidence;  // the probability that each was given
        double reach = 1.0;              // P(all of it is accepted)
        bool unsure = false;             // the draft ended because its next token was unlikely to be reached
    };
    double acceptance_of(const State& state, size_t position) const;

    const DraftVocabulary& vocabulary_;
    const StopClassifier* stop_classifier_;
    size_t vocab_;
    float confidence_threshold_;
    AcceptanceTable& positions_;
    AcceptanceTable& confidences_;
    PerSequence<State> states_;
    std::vector<float> row_;  // [vocab]
};

}  // namespace dynexec
