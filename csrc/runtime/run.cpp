// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/run.h"

#include <algorithm>
#include <utility>

#include "runtime/decision.h"

namespace dynexec {

Run::Run(Backbone& backbone, size_t max_batch_tokens, const Hooks& hooks, const std::vector<SequenceRequest>& requests)
    : backbone_(backbone),
      target_(backbone.model()),
      hooks_(hooks),
      scheduler_(target_.num_segments(), max_batch_tokens) {
    stats_.sequences = requests.size();
    for (const auto& request : requests) {
        scheduler_.add(request);
        stats_.prompt_tokens += request.prompt.size();
    }
}

bool Run::step() {
    const Schedule schedule = scheduler_.next();
    if (schedule.empty()) return false;
    stats_.target_forwards += 1;
    stats_.prefill_forwards += schedule.prompt_rows > 0;
    run(schedule);
    return true;
}

GenerationResult Run::finish() {
    auto polled = start_;
    while (step()) {
        if (hooks_.poll && Clock::now() - polled > std::chrono::milliseconds(50)) {
            hooks_.poll();
            polled = Clock::now();
        }
    }
    return result();
}

Run::Committed Run::commit(Sequence& sequence, float* rows) {
    const size_t vocab = target_.vocab_size();
    const size_t before = sequence.tokens.size();
    Committed committed;
    committed.drafted = sequence.draft.tokens.size();
    for (size_t position = 0; position <= committed.drafted && !sequence.finished(); ++position) {
        float* row = rows + position * vocab;
        if (hooks_.process_logits) hooks_.process_logits(sequence, row, vocab);
        const Decision decision = decide(sequence, position, row, vocab);
        append(sequence, decision.token);
        if (!decision.accepted || position == committed.drafted) break;
        ++committed.accepted;
    }
    // The cache holds every committed token but the last, which has not been an input yet.
    sequence.rollback(sequence.tokens.size() - 1);
    committed.tokens = sequence.tokens.size() - before;
    record(committed);
    if (hooks_.on_tokens) hooks_.on_tokens(sequence, committed.tokens);
    if (sequence.finished()) sequence.table.clear();
    return committed;
}

void Run::append(Sequence& sequence, int64_t token) {
    sequence.tokens.push_back(token);
    sequence.counts.push(token);
    const auto& eos = sequence.request.eos_token_ids;
    if (std::find(eos.begin(), eos.end(), token) != eos.end()) {
        sequence.finish_reason = FinishReason::kStop;
    } else if (sequence.remaining() == 0) {
        sequence.finish_reason = FinishReason::kLength;
    }
    // Called even at the end, because a criterion may count tokens.
    if (hooks_.should_stop && hooks_.should_stop(sequence) && !sequence.finished()) {
        sequence.finish_reason = FinishReason::kCallback;
    }
}

void Run::record(const Committed& committed) {
    if (stats_.tokens == 0) stats_.time_to_first_token = seconds_since(start_);
    stats_.tokens += committed.tokens;
    stats_.verifications += 1;
    if (committed.drafted == 0) return;
    stats_.drafted_verifications += 1;
    auto& histogram = stats_.accepted_histogram;
    if (histogram.size() <= committed.accepted) histogram.resize(committed.accepted + 1);
    histogram[committed.accepted] += 1;
}

GenerationResult Run::result() {
    GenerationResult result;
    for (const auto& sequence : scheduler_.sequences()) {
        const auto prompt = static_cast<std::ptrdiff_t>(sequence->request.prompt.size());
        result.tokens.emplace_back(sequence->tokens.begin() + prompt, sequence->tokens.end());
        result.finish_reasons.push_back(sequence->finish_reason);
    }
    stats_.total_seconds = seconds_since(start_);
    result.stats = std::move(stats_);
    return result;
}

}  // namespace dynexec
