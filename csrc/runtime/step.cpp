// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/step.h"

#include <algorithm>
#include <set>
#include <utility>

namespace dynexec {
namespace {

std::vector<const Sequence*> sequences_of(const std::vector<Backbone::Part>& parts) {
    std::vector<const Sequence*> sequences;
    for (const Backbone::Part& part : parts) sequences.push_back(part.sequence);
    return sequences;
}

}  // namespace

Step::Step(Backbone& backbone, std::function<void(Sequence&, const Rows&)> decide,
           std::function<void(Sequence&, const Rows&)> show)
    : backbone_(backbone),
      target_(backbone.model()),
      decide_(std::move(decide)),
      show_(std::move(show)),
      row_(target_.vocab_size()) {}

void Step::run(const Schedule& schedule, size_t padded_rows) {
    open_.clear();
    calls_.clear();
    for (const auto& slot : schedule.slots) {
        open_.push_back(open(slot));
        bool& has_prompt = calls_[slot.sequence->call];
        has_prompt = has_prompt || slot.prompt_rows > 0;
    }
    for (const auto& [call, has_prompt] : calls_) {
        call->stats.target_forwards += 1;
        call->stats.prefill_forwards += has_prompt;
    }
    run_to_exits();
    if (!open_.empty()) run_to_the_end(padded_rows);
}

Step::Open Step::open(const Schedule::Slot& slot) {
    Sequence& sequence = *slot.sequence;
    EarlyExit* const early_exit = sequence.call->early_exit.get();
    // The first token follows from the whole prompt, however it was split into passes. After a prompt of one token,
    // there is nothing else to run.
    const bool in_prompt = slot.prompt_rows > 0 || (sequence.generated() == 0 && sequence.request.prompt.size() > 1);
    const bool may_leave = early_exit != nullptr && (!in_prompt || early_exit->prefill());
    if (early_exit != nullptr) early_exit->begin_step(sequence);
    if (slot.prompt_rows > 0) {
        const size_t end = sequence.cached() + slot.prompt_rows;
        return {{&sequence, end, 1, slot.prompt_rows}, end == sequence.tokens.size(), may_leave, slot.prompt_rows};
    }
    // The tokens that the first segments have run ahead are valid as far as the draft is unchanged.
    const auto& draft = sequence.draft.tokens;
    const auto& ahead = sequence.ahead;
    const auto end = ahead.begin() + static_cast<std::ptrdiff_t>(std::min(ahead.size(), draft.size()));
    const auto same = std::mismatch(ahead.begin(), end, draft.begin()).first - ahead.begin();
    sequence.rollback(sequence.tokens.size() + static_cast<size_t>(same));
    return {{&sequence, sequence.tokens.size() + draft.size(), 1 + draft.size()}, true, may_leave, 0};
}

void Step::run_to_exits() {
    // Exits in order of depth, of all calls.
    std::map<size_t, std::set<std::pair<EarlyExit*, size_t>>> exits;
    for (const Open& open : open_) {
        EarlyExit* const early_exit = open.early_exit();
        for (size_t i = 0; early_exit != nullptr && i < early_exit->num_exits(); ++i) {
            if (early_exit->asks(i)) exits[early_exit->segment(i)].insert({early_exit, i});
        }
    }
    for (const auto& [segment, asked] : exits) {
        if (open_.empty()) return;
        forward(segment + 1);
        for (const auto& [early_exit, exit] : asked) ask(*early_exit, exit);
        // A call that has failed has given its blocks back.
        const auto closed = [](const Open& open) { return open.part.sequence->call->closed; };
        open_.erase(std::remove_if(open_.begin(), open_.end(), closed), open_.end());
    }
}

void Step::ask(EarlyExit& early_exit, size_t exit) {
    const Parts candidates = take_candidates(early_exit);
    if (candidates.empty()) return;
    const auto start = Clock::now();
    early_exit.predict(exit, sequences_of(candidates));
    const double seconds = seconds_since(start);
    for (const auto& [call, has_prompt] : calls_) {
        if (call->early_exit.get() == &early_exit) call->stats.exit_head_seconds += seconds;
    }
    const Parts left = leave(early_exit, exit, candidates);
    if (!early_exit.copies() || left.empty()) return;
    const auto copying = Clock::now();
    backbone_.copy(left, early_exit.segment(exit) + 1);
    charge(seconds_since(copying));
}

Step::Parts Step::take_candidates(const EarlyExit& early_exit) {
    const auto first = std::stable_partition(open_.begin(), open_.end(), [&](const Open& open) {
        return open.early_exit() != &early_exit || !open.decides || !open.may_leave;
    });
    Parts candidates;
    for (auto open = first; open != open_.end(); ++open) candidates.push_back(open->part);
    open_.erase(first, open_.end());
    // There is no decision after a chunk of a prompt that is not the last one, and its tokens may wait here.
    if (early_exit.prefill()) {
        const auto waits = [&](const Open& open) { return open.early_exit() == &early_exit && !open.decides; };
        open_.erase(std::remove_if(open_.begin(), open_.end(), waits), open_.end());
    }
    return candidates;
}

Step::Parts Step::leave(EarlyExit& early_exit, size_t exit, const Parts& candidates) {
    Parts left;
    for (size_t i = 0; i < candidates.size(); ++i) {
        Sequence& sequence = *candidates[i].sequence;
        if (early_exit.leaves(exit, i, row_.data(), row_.size())) {
            Rows rows;
            rows.logits = row_.data();
            rows.exit = exit;
            decide_(sequence, rows);
            if (!sequence.finished() && !sequence.call->closed) left.push_back(candidates[i]);
        } else {
            open_.push_back({candidates[i], true, true, 0});
        }
    }
    return left;
}

void Step::run_to_the_end(size_t padded_rows) {
    float* logits = forward(target_.num_segments(), padded_rows);
    const float* hidden_states = target_.hidden_states();
    const std::vector<size_t> rows_run = backbone_.rows_run();
    for (size_t i = 0; i < open_.size(); ++i) {
        const Open& open = open_[i];
        Sequence& sequence = *open.part.sequence;
        Rows rows;
        rows.logits = logits;
        rows.exit = open.early_exit() == nullptr ? 0 : open.early_exit()->num_exits();
        rows.n = open.prompt_rows > 0 ? open.prompt_rows : open.part.logits_rows;
        rows.first = open.part.end - rows.n;
        if (hidden_states != nullptr) {
            // Tokens that waited in front of the last segment come first.
            rows.hidden_states = hidden_states + (rows_run[i] - rows.n) * target_.hidden_size();
            hidden_states += rows_run[i] * target_.hidden_size();
        }
        logits += open.part.logits_rows * target_.vocab_size();
        if (open.decides) {
            decide_(sequence, rows);
        } else {
            show_(sequence, rows);
        }
    }
}

float* Step::forward(size_t last, size_t padded_rows) {
    Parts parts;
    for (const Open& open : open_) parts.push_back(open.part);
    const auto start = Clock::now();
    float* const logits = backbone_.run(parts, last, padded_rows);
    charge(seconds_since(start));
    return logits;
}

void Step::charge(double seconds) const {
    for (const auto& [call, has_prompt] : calls_) {
        (has_prompt ? call->stats.prefill_seconds : call->stats.run_seconds) += seconds;
    }
}

}  // namespace dynexec
