// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <algorithm>
#include <set>
#include <stdexcept>

#include "runtime/draft_tokens.h"
#include "runtime/exit_head.h"

namespace dynexec {
namespace {

// Proposes the predictions of an exit head of the target (self-speculation: LayerSkip, arXiv 2404.16710). The first
// segments run one token after the other. The verification then runs the other segments on all tokens at once, from
// the hidden states of the first segments.
class ExitHeadDraft : public Proposer {
public:
    ExitHeadDraft(const Exit& exit, const ProposerContext& context, const std::string& memory)
        : head_(exit, context.backbone, context.max_batch_tokens),
          backbone_(context.backbone),
          drafts_(head_.head().vocabulary(), head_.head().stop_classifier(), context.backbone.model().vocab_size(),
                  context.confidence_threshold, context.memory, memory),
          max_tokens_(context.max_tokens) {}

    size_t offer(const Sequence& sequence, size_t limit) override;
    double acceptance(const Sequence& sequence, size_t position) const override;
    double seconds(const Sequence& sequence, size_t tokens) const override;
    void propose(const std::vector<Order>& orders) override;
    void committed(const Sequence& sequence, size_t n) override;
    void begin() override { drafts_.begin(); }
    void begin(const Sequence& sequence) override { head_.begin(sequence); }
    void release(const Sequence& sequence) override;
    bool needs_whole_text() const override { return true; }

private:
    ExitHead head_;
    Backbone& backbone_;
    DraftTokens drafts_;
    size_t max_tokens_;
    std::set<const Sequence*> proposed_;
};

size_t ExitHeadDraft::offer(const Sequence& sequence, size_t limit) {
    drafts_.begin_step(sequence);
    return std::min(limit, max_tokens_);
}

double ExitHeadDraft::acceptance(const Sequence& sequence, size_t position) const {
    return drafts_.acceptance(sequence, position);
}

double ExitHeadDraft::seconds(const Sequence& sequence, size_t tokens) const {
    if (tokens == 0) return 0.0;
    const CostModel& cost = backbone_.model().cost_model();
    const size_t last = head_.segment() + 1;
    const double drafting = static_cast<double>(tokens) * (cost.seconds_until(last, 1) + head_.seconds(1));
    const double backlog = share_of_text(sequence, tokens) * head_.backlog_seconds(sequence);
    // In the verification, the first segments have only one token left to run.
    return drafting + backlog - (cost.seconds_until(last, 1 + tokens) - cost.seconds_until(last, 1));
}

void ExitHeadDraft::propose(const std::vector<Order>& orders) {
    for (const Order& order : orders) proposed_.insert(order.sequence);
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
    forwards_ += head_.forwards() - forwards;
    for (const Order& order : orders) drafts_.end(order);
}

void ExitHeadDraft::committed(const Sequence& sequence, size_t n) {
    if (proposed_.erase(&sequence) > 0) drafts_.committed(sequence, n);
}

void ExitHeadDraft::release(const Sequence& sequence) {
    head_.release(sequence);
    drafts_.release(sequence);
    proposed_.erase(&sequence);
}

}  // namespace

std::unique_ptr<Proposer> make_exit_heads_proposer(const ProposerParams& params, const ProposerContext& context) {
    if (params.head == nullptr) throw std::invalid_argument("The proposer '" + params.name + "' needs an exit head");
    const std::string memory = params.memory_name(params.head->model().id());
    return std::make_unique<ExitHeadDraft>(Exit{params.head, params.segment}, context, memory);
}

}  // namespace dynexec
