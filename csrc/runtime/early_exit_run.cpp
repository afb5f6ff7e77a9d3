// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/early_exit_run.h"

#include <algorithm>

namespace dynexec {
namespace {

std::vector<const Sequence*> sequences_of(const std::vector<Backbone::Part>& parts) {
    std::vector<const Sequence*> sequences;
    for (const Backbone::Part& part : parts) sequences.push_back(part.sequence);
    return sequences;
}

}  // namespace

EarlyExitRun::EarlyExitRun(Backbone& backbone, size_t max_batch_tokens, const Hooks& hooks,
                           const std::vector<SequenceRequest>& requests, EarlyExit& early_exit)
    : Run(backbone, max_batch_tokens, hooks, requests), early_exit_(early_exit), row_(target_.vocab_size()) {
    for (size_t exit = 0; exit < early_exit_.num_exits(); ++exit) {
        stats_.exit_histogram.emplace_back(early_exit_.segment(exit), 0);
    }
    stats_.exit_histogram.emplace_back(target_.num_segments() - 1, 0);
}

void EarlyExitRun::run(const Schedule& schedule) {
    open_.clear();
    for (const auto& slot : schedule.slots) {
        Sequence& sequence = *slot.sequence;
        const size_t end = slot.prompt_rows > 0 ? sequence.cached() + slot.prompt_rows : sequence.tokens.size();
        // The first token follows from the whole prompt, however it was split into passes. After a prompt of one token,
        // there is nothing else to run.
        const bool in_prompt = sequence.generated() == 0 && sequence.request.prompt.size() > 1;
        const bool may_leave = !in_prompt || early_exit_.prefill();
        open_.push_back({{&sequence, end, 1}, end == sequence.tokens.size(), may_leave});
    }
    early_exit_.begin(sequences_of(open_parts()));
    for (size_t exit = 0; exit < early_exit_.num_exits() && !open_.empty(); ++exit) {
        if (early_exit_.asks(exit)) pass(exit, schedule);
    }
    if (open_.empty()) return;
    float* row = nullptr;
    {
        const Timer timer(run_seconds(schedule));
        row = backbone_.run(open_parts(), target_.num_segments());
    }
    const Timer timer(stats_.decide_seconds);
    for (const Open& open : open_) {
        if (open.decides) take(*open.part.sequence, row, early_exit_.num_exits());
        row += target_.vocab_size();
    }
}

void EarlyExitRun::pass(size_t exit, const Schedule& schedule) {
    {
        const Timer timer(run_seconds(schedule));
        backbone_.run(open_parts(), early_exit_.segment(exit) + 1);
    }
    const Parts candidates = take_candidates();
    // There is no decision after a chunk of a prompt that is not the last one.
    if (early_exit_.prefill()) open_.clear();
    if (candidates.empty()) return;
    {
        const Timer timer(stats_.exit_head_seconds);
        early_exit_.predict(exit, sequences_of(candidates));
    }
    const Parts left = leave(exit, candidates);
    if (!early_exit_.copies() || left.empty()) return;
    const Timer timer(run_seconds(schedule));
    backbone_.copy(left, early_exit_.segment(exit) + 1);
}

EarlyExitRun::Parts EarlyExitRun::take_candidates() {
    const auto first = std::stable_partition(open_.begin(), open_.end(),
                                             [](const Open& open) { return !(open.decides && open.may_leave); });
    Parts candidates;
    for (auto open = first; open != open_.end(); ++open) candidates.push_back(open->part);
    open_.erase(first, open_.end());
    return candidates;
}

EarlyExitRun::Parts EarlyExitRun::leave(size_t exit, const Parts& candidates) {
    const Timer timer(stats_.decide_seconds);
    Parts left;
    for (size_t i = 0; i < candidates.size(); ++i) {
        if (early_exit_.leaves(exit, i, row_.data(), row_.size())) {
            take(*candidates[i].sequence, row_.data(), exit);
            if (!candidates[i].sequence->finished()) left.push_back(candidates[i]);
        } else {
            open_.push_back({candidates[i], true, true});
        }
    }
    return left;
}

void EarlyExitRun::take(Sequence& sequence, float* row, size_t exit) {
    commit(sequence, row);
    stats_.exit_histogram[exit].second += 1;
    if (sequence.finished()) early_exit_.release(sequence);
}

EarlyExitRun::Parts EarlyExitRun::open_parts() const {
    Parts parts;
    for (const Open& open : open_) parts.push_back(open.part);
    return parts;
}

}  // namespace dynexec
