// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/commit.h"

#include <algorithm>
#include <vector>

#include "runtime/decision.h"

namespace dynexec {
namespace {

void append(Sequence& sequence, int64_t token, const Callbacks& callbacks) {
    sequence.tokens.push_back(token);
    sequence.counts.push(token);
    const auto& eos = sequence.request.eos_token_ids;
    if (std::find(eos.begin(), eos.end(), token) != eos.end()) {
        sequence.finish_reason = FinishReason::kStop;
    } else if (sequence.remaining() == 0) {
        sequence.finish_reason = FinishReason::kLength;
    }
    // Called even at the end, because a criterion may count tokens.
    if (callbacks.should_stop && callbacks.should_stop(sequence) && !sequence.finished()) {
        sequence.finish_reason = FinishReason::kCallback;
    }
}

}  // namespace

Committed commit(Sequence& sequence, float* rows, size_t vocab, const Callbacks& callbacks) {
    const size_t before = sequence.tokens.size();
    std::vector<float> before_processors;
    Committed committed;
    committed.drafted = sequence.draft.tokens.size();
    for (size_t position = 0; position <= committed.drafted && !sequence.finished(); ++position) {
        float* row = rows + position * vocab;
        // The processors and the decision overwrite the row.
        if (sequence.request.logprobs) before_processors.assign(row, row + vocab);
        if (callbacks.process_logits) callbacks.process_logits(sequence, row, vocab);
        const Decision decision = decide(sequence, position, row, vocab);
        if (sequence.request.logprobs) {
            sequence.logprobs.push_back(
                logprobs(before_processors.data(), vocab, decision.token, *sequence.request.logprobs));
        }
        append(sequence, decision.token, callbacks);
        if (!decision.accepted || position == committed.drafted) break;
        ++committed.accepted;
    }
    // The cache holds every committed token but the last, which has not been an input yet.
    sequence.rollback(sequence.tokens.size() - 1);
    committed.tokens = sequence.tokens.size() - before;
    sequence.forced.clear();
    if (callbacks.forced && !sequence.finished()) sequence.forced = callbacks.forced(sequence);
    return committed;
}

}  // namespace dynexec
