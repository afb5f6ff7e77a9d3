// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/early_exit_draft.h"

#include <algorithm>

namespace dynexec {

EarlyExitDraft::EarlyExitDraft(ExitHead& head, Backbone& backbone, size_t max_tokens, float confidence_threshold,
                               size_t num_sequences, HeadDrafts::Memory& memory)
    : Proposer("early_exit"),
      head_(head),
      backbone_(backbone),
      drafts_(head.head(), backbone.model().vocab_size(), confidence_threshold, num_sequences, memory),
      max_tokens_(max_tokens),
      proposed_(num_sequences) {}

size_t EarlyExitDraft::offer(const Sequence& sequence, size_t limit) {
    drafts_.begin(sequence);
    return std::min(limit, max_tokens_);
}

double EarlyExitDraft::acceptance(const Sequence& sequence, size_t position) const {
    return drafts_.acceptance(sequence, position);
}

double EarlyExitDraft::seconds(const Sequence& sequence, size_t tokens) const {
    if (tokens == 0) return 0.0;
    const PagedModel& model = backbone_.model();
    const size_t last = head_.segment() + 1;
    const double drafting = static_cast<double>(tokens) * (model.seconds_until(last, 1) + head_.seconds(1));
    // A backlog serves every later draft too: each token bears its share.
    const double share = static_cast<double>(tokens) / static_cast<double>(sequence.remaining());
    const double backlog = share * head_.backlog_seconds(sequence);
    // The verification has but one token left for the first segments.
    return drafting + backlog - (model.seconds_until(last, 1 + tokens) - model.seconds_until(last, 1));
}

void EarlyExitDraft::propose(const std::vector<Order>& orders) {
    for (const Order& order : orders) proposed_[order.sequence->index] = true;
    std::vector<Order> open = orders;
    const size_t forwards = head_.forwards();
    while (!open.empty()) {
        std::vector<Backbone::Part> parts;
        std::vector<const Sequence*> sequences;
        for (const Order& order : open) {
            Sequence& sequence = *order.sequence;
            sequence.ahead = sequence.draft.tokens;
            parts.push_back({&sequence, sequence.tokens.size() + sequence.draft.tokens.size(), 0});
            sequences.push_back(&sequence);
        }
        backbone_.run(parts, head_.segment() + 1);
        const float* words = head_.predict(sequences);
        std::vector<Order> next;
        for (const Order& order : open) {
            if (drafts_.choose(order, words)) next.push_back(order);
            words += head_.head().model().vocab_size();
        }
        open.swap(next);
    }
    stats().forwards += head_.forwards() - forwards;
    for (const Order& order : orders) drafts_.end(order);
}

void EarlyExitDraft::committed(const Sequence& sequence, size_t n) {
    if (sequence.finished()) head_.release(sequence);
    if (!proposed_[sequence.index]) return;
    proposed_[sequence.index] = false;
    drafts_.committed(sequence, n);
}

}  // namespace dynexec
