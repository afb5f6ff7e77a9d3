// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/call.h"

#include <utility>

namespace dynexec {
namespace {

uint64_t next_id() {
    static std::atomic<uint64_t> next{0};
    return next++;
}

std::vector<FairMutex*> mutexes_of(const CallParams& params) {
    std::vector<FairMutex*> mutexes;
    for (PagedModel* model : models_of(params.speculation)) mutexes.push_back(&model->mutex());
    if (!params.speculation.proposers.empty()) mutexes.push_back(&params.memory->mutex());
    if (!params.early_exit) return mutexes;
    for (const Exit& exit : params.early_exit->exits) mutexes.push_back(&exit.head->model().mutex());
    return mutexes;
}

}  // namespace

Call::Call(std::vector<SequenceRequest> requests_, CallParams params_, const std::shared_ptr<Outbox>& outbox_,
           size_t num_segments)
    : id(next_id()),
      requests(std::move(requests_)),
      params(std::move(params_)),
      outbox(outbox_),
      mutexes(mutexes_of(params)) {
    for (const auto& request : requests) {
        Sequence& sequence = sequences.emplace_back(sequences.size(), request, num_segments, this);
        if (request.max_new_tokens == 0) {
            sequence.finish_reason = FinishReason::kLength;
        } else {
            ++unfinished;
        }
        stats.prompt_tokens += request.prompt.size();
    }
    stats.sequences = requests.size();
}

void Call::push(Event event) const {
    if (const auto receiver = outbox.lock()) receiver->push(std::move(event));
}

}  // namespace dynexec
