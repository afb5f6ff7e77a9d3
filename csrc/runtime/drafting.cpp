// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/drafting.h"

#include <algorithm>
#include <utility>

#include "runtime/backbone.h"
#include "runtime/head.h"
#include "runtime/profiling.h"

namespace dynexec {
namespace {

bool same(const ProposerParams& a, const ProposerParams& b) {
    return a.name == b.name && a.model == b.model && a.vocabulary == b.vocabulary && a.head == b.head &&
           a.segment == b.segment && a.options == b.options && a.memory == b.memory;
}

}  // namespace

std::set<PagedModel*> models_of(const SpeculationParams& params) {
    std::set<PagedModel*> models;
    for (const ProposerParams& proposer : params.proposers) {
        if (proposer.model != nullptr) models.insert(proposer.model.get());
        if (proposer.head != nullptr) models.insert(&proposer.head->model());
    }
    return models;
}

bool operator==(const SpeculationParams& a, const SpeculationParams& b) {
    return std::equal(a.proposers.begin(), a.proposers.end(), b.proposers.begin(), b.proposers.end(), same) &&
           a.assistant_confidence_threshold == b.assistant_confidence_threshold && a.lookahead == b.lookahead &&
           a.num_assistant_tokens == b.num_assistant_tokens;
}

Drafting::Drafting(const SpeculationParams& params, std::shared_ptr<SpeculationMemory> memory, Backbone& backbone,
                   size_t max_batch_tokens)
    : params_(params), memory_(std::move(memory)), target_(backbone.model()), models_(models_of(params)) {
    // "auto" plans with the costs of passes.
    if (params.lookahead == "auto") {
        std::set<PagedModel*> measured = models_;
        measured.insert(&backbone.model());
        for (PagedModel* model : measured) {
            if (model->cost_model().measured()) continue;
            warm_up(*model);
            profile(*model);
        }
    }
    lookahead_ = make_lookahead(params.lookahead, {proposers_, target_.cost_model(), params.num_assistant_tokens,
                                                   *memory_, target_.row_limits()});
    const ProposerContext context = {backbone, max_batch_tokens, lookahead_->longest_draft(),
                                     params.assistant_confidence_threshold, *memory_};
    for (const ProposerParams& proposer : params.proposers) proposers_.push_back(make_proposer(proposer, context));
}

bool Drafting::is(const SpeculationParams& params, const SpeculationMemory* memory) const {
    return memory == memory_.get() && params == params_;
}

bool Drafting::needs_whole_text() const {
    return std::any_of(proposers_.begin(), proposers_.end(), [](const auto& p) { return p->needs_whole_text(); });
}

std::vector<ProposerStats> Drafting::stats() const {
    std::vector<ProposerStats> stats;
    for (size_t i = 0; i < proposers_.size(); ++i) {
        stats.push_back({params_.proposers[i].name, 0, 0, proposers_[i]->forwards()});
    }
    return stats;
}

void Drafting::begin() {
    for (const auto& proposer : proposers_) proposer->begin();
    follow();
}

void Drafting::begin(const Sequence& sequence) {
    for (const auto& proposer : proposers_) proposer->begin(sequence);
}

size_t Drafting::propose(const std::vector<Lookahead::Candidate>& candidates, const Lookahead::Others& others) {
    follow();
    Lookahead::Step step = lookahead_->plan(candidates, others);
    for (const auto& proposer : proposers_) {
        std::vector<Proposer::Order> orders;
        for (const auto& plan : step.plans) {
            if (plan.proposer != proposer.get()) continue;
            orders.push_back({plan.sequence, plan.tokens, plan.least_reach, plan.learned_stop});
        }
        if (!orders.empty()) proposer->propose(orders);
    }
    lookahead_->settle(step);
    for (const auto& plan : step.plans) plan.sequence->drafted_by = plan.proposer;
    return step.rows;
}

void Drafting::committed(const Sequence& sequence, const Committed& committed, std::vector<ProposerStats>& stats) {
    if (committed.drafted > 0) {
        for (size_t i = 0; i < proposers_.size(); ++i) {
            if (proposers_[i].get() != sequence.drafted_by) continue;
            stats[i].proposed += committed.drafted;
            stats[i].accepted += committed.accepted;
        }
        lookahead_->observe(sequence, committed.drafted, committed.accepted);
    }
    for (const auto& proposer : proposers_) proposer->committed(sequence, committed.tokens);
}

void Drafting::saw(const Sequence& sequence, size_t first, const float* hidden_states, size_t n) {
    for (const auto& proposer : proposers_) proposer->saw(sequence, first, hidden_states, n);
}

void Drafting::release(const Sequence& sequence) {
    for (const auto& proposer : proposers_) proposer->release(sequence);
    lookahead_->release(sequence);
}

void Drafting::follow() {
    for (PagedModel* model : models_) {
        if (model != &target_) model->cost_model().follow(target_.cost_model(), target_.id());
    }
}

}  // namespace dynexec
