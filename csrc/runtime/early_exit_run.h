// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <vector>

#include "runtime/early_exit.h"
#include "runtime/run.h"

namespace dynexec {

// Decoding in which tokens may leave at the exits. What a token leaves out waits in front of the next segment, until a
// token comes that goes on: then that segment runs all of them at once, and its cache is as if none had left. Or the
// segments that were left out get keys and values at once, of the hidden states that the token left with.
class EarlyExitRun : public Run {
public:
    EarlyExitRun(Backbone& backbone, size_t max_batch_tokens, const Hooks& hooks,
                 const std::vector<SequenceRequest>& requests, EarlyExit& early_exit);

protected:
    void run(const Schedule& schedule) override;

private:
    // A sequence of the schedule that has not left in this step.
    struct Open {
        Backbone::Part part;
        bool decides;  // its next token is to be chosen
        bool may_leave;
    };
    using Parts = std::vector<Backbone::Part>;

    // Runs the segments up to an exit and has the sequences leave that are sure enough there.
    void pass(size_t exit, const Schedule& schedule);
    // Takes those that may leave out of `open_`.
    Parts take_candidates();
    // Has candidates leave; the others are open again. Returns those that left and go on after this step.
    Parts leave(size_t exit, const Parts& candidates);
    void take(Sequence& sequence, float* row, size_t exit);
    Parts open_parts() const;

    EarlyExit& early_exit_;
    std::vector<Open> open_;
    std::vector<float> row_;  // [vocab]
};

}  // namespace dynexec
