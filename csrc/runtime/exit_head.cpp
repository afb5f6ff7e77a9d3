// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/exit_head.h"

#include <algorithm>
#include <stdexcept>

namespace dynexec {

ExitHead::ExitHead(const Exit& exit, Backbone& backbone, size_t max_batch_tokens)
    : head_(exit.head),
      segment_(exit.segment),
      backbone_(backbone),
      model_(exit.head->model()),
      hidden_size_(model_.input_hidden_size()),
      has_cache_(model_.has_cache()),
      max_batch_tokens_(max_batch_tokens) {
    const PagedModel& target = backbone.model();
    if (segment_ + 1 >= target.num_segments()) {
        throw std::invalid_argument("An exit head reads after segment " + std::to_string(segment_) +
                                    ", but the model has " + std::to_string(target.num_segments()) +
                                    " segments, and there is no exit after the last one");
    }
    head_->check_fits(target.vocab_size(), target.boundary_size(segment_));
    backbone.add_tap(segment_, *this);
}

ExitHead::~ExitHead() { backbone_.remove_tap(*this); }

void ExitHead::ran(const Sequence& sequence, size_t first, const float* hidden_states, size_t n) {
    State* const found = states_.find(sequence);
    if (found == nullptr) return;
    State& state = *found;
    if (!has_cache_) {
        state.cached = first + n - 1;
        state.pending.assign(hidden_states + (n - 1) * hidden_size_, hidden_states + n * hidden_size_);
        return;
    }
    state.cached = std::min(state.cached, first);
    state.pending.resize((first - state.cached) * hidden_size_);
    state.pending.insert(state.pending.end(), hidden_states, hidden_states + n * hidden_size_);
}

double ExitHead::seconds(size_t rows) const { return model_.cost_model().seconds(has_cache_ ? rows : 1); }

double ExitHead::backlog_seconds(const Sequence& sequence) const {
    return seconds(std::max<size_t>(1, pending_rows(states_.at(sequence)))) - seconds(1);
}

void ExitHead::add_rows(FlatBatch& batch, const Sequence& sequence, size_t rows) {
    State& state = states_.at(sequence);
    // An exit head does not read token ids. Only their number matters here.
    const std::vector<int64_t> ids(rows, 0);
    if (has_cache_) model_.reserve(state.table, state.cached + rows);
    batch.add(ids.data(), rows, state.cached, state.table.blocks(), 1);
    batch.has_backlog = batch.has_backlog || rows > FlatBatch::kRowsOfAStep;
    const auto end = state.pending.begin() + static_cast<std::ptrdiff_t>(rows * hidden_size_);
    batch.hidden_states.insert(batch.hidden_states.end(), state.pending.begin(), end);
    if (!has_cache_) return;
    state.pending.erase(state.pending.begin(), end);
    state.cached += rows;
}

float* ExitHead::run(const FlatBatch& batch) {
    forwards_ += 1;
    return model_.forward(batch);
}

float* ExitHead::predict(const std::vector<const Sequence*>& sequences) {
    FlatBatch batch;
    // All of a long backlog except its last chunk. The backlog is usually that of a prompt.
    const size_t share = std::max<size_t>(1, max_batch_tokens_ / sequences.size());
    for (const Sequence* sequence : sequences) {
        for (State& state = states_.at(*sequence); pending_rows(state) > share;) {
            batch.clear();
            add_rows(batch, *sequence, std::min(max_batch_tokens_, pending_rows(state) - share));
            run(batch);
        }
    }
    batch.clear();
    for (const Sequence* sequence : sequences) add_rows(batch, *sequence, pending_rows(states_.at(*sequence)));
    return run(batch);
}

}  // namespace dynexec
