// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/speculative_run.h"

#include <algorithm>
#include <utility>

namespace dynexec {

SpeculativeRun::SpeculativeRun(Backbone& backbone, size_t max_batch_tokens, const Hooks& hooks,
                               const std::vector<SequenceRequest>& requests, Drafting drafting)
    : Run(backbone, max_batch_tokens, hooks, requests), drafting_(std::move(drafting)) {
    follow();
}

void SpeculativeRun::run(const Schedule& schedule) {
    if (drafting_.lookahead != nullptr) propose(schedule);
    float* const rows = forward(schedule);
    follow();
    decide(schedule, rows);
}

void SpeculativeRun::follow() {
    for (CostModel* cost : drafting_.costs) cost->follow(target_.cost_model(), target_.id());
}

void SpeculativeRun::propose(const Schedule& schedule) {
    const Timer timer(stats_.propose_seconds);
    plan_ = {};
    std::vector<Lookahead::Candidate> candidates;
    for (const auto& slot : schedule.slots) {
        // The last token of a forward pass needs no draft: it is chosen anyway.
        if (slot.prompt_rows == 0) candidates.push_back({slot.sequence, slot.sequence->remaining() - 1});
    }
    if (candidates.empty()) return;
    plan_ = drafting_.lookahead->plan(candidates, schedule.prompt_rows);
    for (const auto& proposer : drafting_.proposers) {
        std::vector<Proposer::Order> orders;
        for (const auto& plan : plan_.plans) {
            if (plan.proposer != proposer.get()) continue;
            orders.push_back({plan.sequence, plan.tokens, plan.least_reach, plan.learned_stop});
        }
        if (!orders.empty()) proposer->propose(orders);
    }
    drafting_.lookahead->settle(plan_);
}

float* SpeculativeRun::forward(const Schedule& schedule) {
    const Timer timer(run_seconds(schedule));
    std::vector<Backbone::Part> parts;
    for (const auto& slot : schedule.slots) {
        Sequence& sequence = *slot.sequence;
        if (slot.prompt_rows > 0) {
            parts.push_back({&sequence, sequence.cached() + slot.prompt_rows, 1, slot.prompt_rows});
            continue;
        }
        // The tokens that the first segments have run ahead are valid as far as the draft is unchanged.
        const auto& draft = sequence.draft.tokens;
        const auto& ahead = sequence.ahead;
        const auto end = ahead.begin() + static_cast<std::ptrdiff_t>(std::min(ahead.size(), draft.size()));
        const auto same = std::mismatch(ahead.begin(), end, draft.begin()).first - ahead.begin();
        sequence.rollback(sequence.tokens.size() + static_cast<size_t>(same));
        parts.push_back({&sequence, sequence.tokens.size() + draft.size(), 1 + draft.size()});
    }
    return backbone_.run(parts, target_.num_segments(), plan_.rows);
}

void SpeculativeRun::decide(const Schedule& schedule, float* rows) {
    const Timer timer(stats_.decide_seconds);
    const float* hidden_states = target_.hidden_states();
    for (const auto& slot : schedule.slots) {
        Sequence& sequence = *slot.sequence;
        if (slot.prompt_rows > 0) {
            const size_t first = sequence.cached() - slot.prompt_rows;
            const bool prompt_done = sequence.cached() == sequence.tokens.size();
            if (prompt_done) take(sequence, rows);
            show(sequence, first, hidden_states, slot.prompt_rows);
            rows += target_.vocab_size();
            hidden_states += slot.prompt_rows * target_.hidden_size();
            continue;
        }
        const size_t num_rows = 1 + sequence.draft.tokens.size();
        const size_t first = sequence.tokens.size() - 1;
        take(sequence, rows);
        show(sequence, first, hidden_states, sequence.cached() - first);
        rows += num_rows * target_.vocab_size();
        hidden_states += num_rows * target_.hidden_size();
    }
}

void SpeculativeRun::take(Sequence& sequence, float* rows) {
    const Committed committed = commit(sequence, rows);
    if (committed.drafted > 0) {
        for (const auto& plan : plan_.plans) {
            if (plan.sequence != &sequence) continue;
            plan.proposer->stats().proposed += committed.drafted;
            plan.proposer->stats().accepted += committed.accepted;
        }
        drafting_.lookahead->observe(sequence, committed.drafted, committed.accepted);
    }
    for (const auto& proposer : drafting_.proposers) proposer->committed(sequence, committed.tokens);
}

void SpeculativeRun::show(const Sequence& sequence, size_t first, const float* hidden_states, size_t n) {
    if (target_.hidden_size() == 0 || sequence.finished()) return;
    for (const auto& proposer : drafting_.proposers) proposer->saw(sequence, first, hidden_states, n);
}

}  // namespace dynexec
