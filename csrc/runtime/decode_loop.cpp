// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/decode_loop.h"

#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>

#include "runtime/early_exit_run.h"
#include "runtime/profiling.h"
#include "runtime/speculative_run.h"

namespace dynexec {
namespace {

// All models of a call. A model that drafts for itself is listed once. They are locked in the order of their
// addresses, so that two models that draft for each other do not wait forever.
std::set<PagedModel*> models_of(PagedModel& target, const SpeculationParams& speculation,
                                const EarlyExitParams* early_exit) {
    std::set<PagedModel*> models = {&target};
    for (const ProposerParams& proposer : speculation.proposers) {
        if (proposer.model != nullptr) models.insert(proposer.model.get());
        if (proposer.head != nullptr) models.insert(&proposer.head->model());
    }
    if (early_exit != nullptr) {
        for (const Exit& exit : early_exit->exits) models.insert(&exit.head->model());
    }
    return models;
}

// "auto" plans with the costs of passes.
void measure(const std::set<PagedModel*>& models) {
    for (PagedModel* model : models) {
        if (model->cost_model().measured()) continue;
        warm_up(*model);
        profile(*model);
    }
}

}  // namespace

DecodeLoop::DecodeLoop(PagedModel& target, size_t max_batch_tokens)
    : target_(target), max_batch_tokens_(max_batch_tokens) {
    if (max_batch_tokens == 0) throw std::invalid_argument("max_batch_tokens must be at least 1");
}

void DecodeLoop::validate(const std::vector<SequenceRequest>& requests) const {
    const auto vocab = static_cast<int64_t>(target_.vocab_size());
    for (size_t i = 0; i < requests.size(); ++i) {
        if (requests[i].prompt.empty()) {
            throw std::invalid_argument("Prompt " + std::to_string(i) + " is empty, but it needs at least one token");
        }
        for (const int64_t id : requests[i].prompt) {
            if (id >= 0 && id < vocab) continue;
            throw std::invalid_argument("Prompt " + std::to_string(i) + " contains token id " + std::to_string(id) +
                                        ", but the model's vocabulary has ids 0 to " + std::to_string(vocab - 1));
        }
    }
}

GenerationResult DecodeLoop::generate(const std::vector<SequenceRequest>& requests,
                                      const SpeculationParams& speculation, SpeculationMemory& memory,
                                      const Hooks& hooks, const EarlyExitParams* early_exit) {
    validate(requests);
    if (early_exit != nullptr && !speculation.proposers.empty()) {
        throw std::invalid_argument("Early exit and speculation exclude each other");
    }
    const auto models = models_of(target_, speculation, early_exit);
    std::vector<std::unique_lock<std::mutex>> locks;
    for (PagedModel* model : models) locks.emplace_back(model->mutex());
    locks.emplace_back(memory.mutex());

    Backbone backbone(target_, max_batch_tokens_);
    if (early_exit != nullptr) {
        EarlyExit exits(*early_exit, backbone, max_batch_tokens_, requests.size());
        return EarlyExitRun(backbone, max_batch_tokens_, hooks, requests, exits).finish();
    }
    std::vector<std::unique_ptr<Proposer>> proposers;
    std::unique_ptr<Lookahead> lookahead;
    if (!speculation.proposers.empty()) {
        if (speculation.lookahead == "auto") measure(models);
        lookahead =
            make_lookahead(speculation.lookahead, {proposers, target_.cost_model(), speculation.num_assistant_tokens,
                                                   requests.size(), memory, target_.row_limits()});
        const ProposerContext context = {backbone,
                                         max_batch_tokens_,
                                         requests.size(),
                                         lookahead->longest_draft(),
                                         speculation.assistant_confidence_threshold,
                                         memory};
        for (const ProposerParams& params : speculation.proposers) proposers.push_back(make_proposer(params, context));
    }
    std::vector<CostModel*> costs;
    for (PagedModel* model : models) {
        if (model != &target_) costs.push_back(&model->cost_model());
    }
    SpeculativeRun run(backbone, max_batch_tokens_, hooks, requests, {proposers, lookahead.get(), costs});
    GenerationResult result = run.finish();
    for (const auto& proposer : proposers) result.stats.proposers.push_back(proposer->stats());
    return result;
}

}  // namespace dynexec
