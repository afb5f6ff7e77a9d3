// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "runtime/backbone.h"
#include "runtime/call.h"
#include "runtime/scheduler.h"

namespace dynexec {

// The logits from which a sequence takes its next tokens, and what was computed with them.
struct Rows {
    float* logits = nullptr;  // [1 + draft tokens, vocab]
    // The hidden states of the last segment, [n, hidden size], for the tokens from index `first` on; without them,
    // nullptr.
    const float* hidden_states = nullptr;
    size_t first = 0;
    size_t n = 0;
    size_t exit = 0;  // where the logits come from: an index of Stats::exit_histogram
};

// Runs the passes of one step for the sequences of all modes together.
//
// Tokens of calls with early exit may leave the target after a segment. A token that exits waits in front of the next
// segment until a later token needs this segment, which then runs all waiting tokens at once; its cache is as if none
// had exited. Alternatively, the skipped segments immediately get keys and values, computed from the hidden states with
// which the token exited.
class Step {
public:
    // `decide` is called once for each sequence whose next tokens can be taken, as soon as they can. The rows are
    // overwritten afterwards. `show` is called for a part of a prompt after which nothing is decided.
    Step(Backbone& backbone, std::function<void(Sequence&, const Rows&)> decide,
         std::function<void(Sequence&, const Rows&)> show);

    // `padded_rows`: see Backbone::run.
    void run(const Schedule& schedule, size_t padded_rows);

private:
    // A sequence of the schedule that has not exited in this step.
    struct Open {
        Backbone::Part part;
        bool decides;  // whether its next token is to be chosen
        bool may_leave;
        size_t prompt_rows;
        EarlyExit* early_exit() const { return part.sequence->call->early_exit.get(); }
    };
    using Parts = std::vector<Backbone::Part>;

    static Open open(const Schedule::Slot& slot);
    // Runs the segments up to the exits, where the sequences that are confident enough exit.
    void run_to_exits();
    void ask(EarlyExit& early_exit, size_t exit);
    // Removes the sequences that may exit at an exit of `early_exit` from `open_`.
    Parts take_candidates(const EarlyExit& early_exit);
    // Lets candidates exit; the others are open again. Returns the sequences that exited.
    Parts leave(EarlyExit& early_exit, size_t exit, const Parts& candidates);
    void run_to_the_end(size_t padded_rows);
    // Runs segments of the target on the open parts.
    float* forward(size_t last, size_t padded_rows = 0);
    // Adds the seconds of a pass to the statistics of the calls.
    void charge(double seconds) const;

    Backbone& backbone_;
    PagedModel& target_;
    std::function<void(Sequence&, const Rows&)> decide_;
    std::function<void(Sequence&, const Rows&)> show_;
    std::vector<Open> open_;
    std::map<Call*, bool> calls_;  // of the step, and whether they have a prompt in it
    std::vector<float> row_;       // [vocab]
};

}  // namespace dynexec
