// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <vector>

#include "runtime/early_exit.h"
#include "runtime/run.h"

namespace dynexec {

// Decoding in which tokens may exit early. A token that exits waits in front of the next segment, until a later token
// needs this segment. The segment then runs all waiting tokens at once, and its cache is as if none had exited.
// Alternatively, the skipped segments immediately get keys and values, computed from the hidden states with which the
// token exited.
class EarlyExitRun : public Run {
public:
    EarlyExitRun(Backbone& backbone, size_t max_batch_tokens, const Hooks& hooks,
                 const std::vector<SequenceRequest>& requests, EarlyExit& early_exit);

protected:
    void run(const Schedule& schedule) override;

private:
    // A sequence of the schedule that has not exited in this step.
    struct Open {
        Backbone::Part part;
        bool decides;  // whether its next token is to be chosen
        bool may_leave;
    };
    using Parts = std::vector<Backbone::Part>;

    // Runs the segments up to an exit, where the sequences that are confident enough exit.
    void pass(size_t exit, const Schedule& schedule);
    // Removes the sequences that may exit from `open_`.
    Parts take_candidates();
    // Lets candidates exit; the others are open again. Returns the sequences that exited and continue after this step.
    Parts leave(size_t exit, const Parts& candidates);
    void take(Sequence& sequence, float* row, size_t exit);
    Parts open_parts() const;

    EarlyExit& early_exit_;
    std::vector<Open> open_;
    std::vector<float> row_;  // [vocab]
};

}  // namespace dynexec
