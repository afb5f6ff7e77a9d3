// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/decode_loop.h"

#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>

#include "runtime/draft_head.h"
#include "runtime/draft_model.h"
#include "runtime/early_exit_draft.h"
#include "runtime/early_exit_run.h"
#include "runtime/lookahead.h"
#include "runtime/prompt_lookup.h"
#include "runtime/speculative_run.h"

namespace dynexec {

DecodeLoop::DecodeLoop(PagedModel& target, size_t max_batch_tokens)
    : target_(target), max_batch_tokens_(max_batch_tokens), prompt_lookup_memory_(PromptLookup::make_memory()) {
    if (max_batch_tokens == 0) throw std::invalid_argument("max_batch_tokens must be at least 1");
}

void DecodeLoop::validate(const std::vector<SequenceRequest>& requests) const {
    const auto vocab = static_cast<int64_t>(target_.vocab_size());
    for (size_t i = 0; i < requests.size(); ++i) {
        if (requests[i].prompt.empty()) {
            throw std::invalid_argument("Prompt " + std::to_string(i) + " is empty: at least one token is needed");
        }
        for (const int64_t id : requests[i].prompt) {
            if (id >= 0 && id < vocab) continue;
            throw std::invalid_argument("Prompt " + std::to_string(i) + " holds token id " + std::to_string(id) +
                                        "; the model's vocabulary has ids 0 to " + std::to_string(vocab - 1));
        }
    }
}

GenerationResult DecodeLoop::generate(const std::vector<SequenceRequest>& requests,
                                      const SpeculationParams& speculation, const Hooks& hooks,
                                      const EarlyExitParams* early_exit_params) {
    validate(requests);
    PagedModel* const draft = speculation.draft_model;
    const Head* const head = speculation.draft_head.get();
    // A model may draft for itself: each is there once.
    std::set<PagedModel*> models = {&target_};
    if (draft != nullptr) models.insert(draft);
    if (head != nullptr) models.insert(&head->model());
    for (const Exit& exit : speculation.exits) models.insert(&exit.head->model());
    if (early_exit_params != nullptr) {
        for (const Exit& exit : early_exit_params->exits) models.insert(&exit.head->model());
    }
    // Always in the same order, so that two models that draft for each other do not wait forever.
    std::vector<std::unique_lock<std::mutex>> locks;
    for (PagedModel* model : models) locks.emplace_back(model->mutex());

    Backbone backbone(target_, max_batch_tokens_);
    std::deque<ExitHead> exit_heads;
    std::vector<std::unique_ptr<Proposer>> proposers;
    if (speculation.prompt_lookup) {
        proposers.push_back(std::make_unique<PromptLookup>(speculation.max_matching_ngram_size, requests.size(),
                                                           prompt_lookup_memory_));
    }
    if (head != nullptr) {
        auto& memory = head_memory_.try_emplace(&head->model()).first->second;
        proposers.push_back(std::make_unique<DraftHead>(*head, target_, speculation.num_assistant_tokens,
                                                        max_batch_tokens_, speculation.assistant_confidence_threshold,
                                                        requests.size(), memory));
    }
    for (const Exit& exit : speculation.exits) {
        auto& memory = head_memory_.try_emplace(&exit.head->model()).first->second;
        ExitHead& exit_head = exit_heads.emplace_back(exit, backbone, max_batch_tokens_, requests.size());
        proposers.push_back(std::make_unique<EarlyExitDraft>(exit_head, backbone, speculation.num_assistant_tokens,
                                                             speculation.assistant_confidence_threshold,
                                                             requests.size(), memory));
    }
    if (draft != nullptr) {
        auto& memory = draft_memory_.try_emplace(draft, DraftModel::make_memory()).first->second;
        proposers.push_back(std::make_unique<DraftModel>(*draft, target_.vocab_size(), speculation.num_assistant_tokens,
                                                         speculation.assistant_confidence_threshold, requests.size(),
                                                         memory));
    }
    std::unique_ptr<EarlyExit> early_exit;
    if (early_exit_params != nullptr) {
        if (!proposers.empty()) throw std::invalid_argument("Early exit and speculation exclude each other");
        early_exit = std::make_unique<EarlyExit>(*early_exit_params, backbone, max_batch_tokens_, requests.size());
    }
    std::unique_ptr<Lookahead> lookahead;
    if (!proposers.empty()) {
        if (speculation.lookahead == "auto") {
            for (PagedModel* model : models) {
                if (model->cost_model().measured()) continue;
                model->warm_up();
                model->profile();
            }
        }
        lookahead = make_lookahead(
            speculation.lookahead,
            {proposers, target_.cost_model(), speculation.num_assistant_tokens, requests.size(), heuristic_tokens_});
    }
    if (early_exit != nullptr) {
        return EarlyExitRun(backbone, max_batch_tokens_, hooks, requests, *early_exit).finish();
    }
    SpeculativeRun run(backbone, max_batch_tokens_, hooks, requests, proposers, lookahead.get());
    GenerationResult result = run.finish();
    for (const auto& proposer : proposers) result.stats.proposers.push_back(proposer->stats());
    return result;
}

}  // namespace dynexec
