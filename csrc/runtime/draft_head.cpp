// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/draft_head.h"

#include <algorithm>
#include <stdexcept>

#include "kernels/logits_stats.h"

namespace dynexec {
namespace {

constexpr size_t kPositions = 8;
constexpr double kPrior = 0.75;
constexpr double kPriorWeight = 4.0;
// A head that was trained on a model's output knows how sure it may be, nearly: drafts of drafts are a bit too sure.
constexpr double kConfidence[] = {0.2, 0.4, 0.6, 0.8, 0.9, 0.97};
constexpr size_t kConfidences = std::size(kConfidence) + 1;
constexpr size_t kConfidencePositions = 3;
constexpr double kTrust = 0.97;
// Rows that a step may leave behind; more is a backlog, a prompt above all.
constexpr size_t kRowsOfAStep = 8;

size_t context_of(double confidence) {
    return static_cast<size_t>(std::upper_bound(std::begin(kConfidence), std::end(kConfidence), confidence) -
                               std::begin(kConfidence));
}

}  // namespace

DraftHead::Memory::Memory()
    : by_position(AcceptanceTable::over_requests(1, kPositions)),
      by_confidence(AcceptanceTable::over_requests(kConfidences, kConfidencePositions)) {}

DraftHead::DraftHead(const Head& head, const PagedModel& target, size_t max_tokens, size_t max_batch_tokens,
                     float confidence_threshold, size_t num_sequences, Memory& memory)
    : Proposer("draft_head"),
      head_(head),
      model_(head.model()),
      vocab_(target.vocab_size()),
      hidden_size_(head.model().input_hidden_size()),
      max_tokens_(max_tokens),
      max_batch_tokens_(max_batch_tokens),
      confidence_threshold_(confidence_threshold),
      row_(target.vocab_size()) {
    if (target.hidden_size() == 0) {
        throw std::invalid_argument("The model was loaded without its hidden states, which a draft head needs");
    }
    head.check_fits(target.vocab_size(), target.hidden_size());
    if (model_.hidden_size() != hidden_size_) {
        throw std::invalid_argument("The head gives no hidden states to go on from: it is no draft head");
    }
    // What was learned on earlier requests fades, so that a head that had been given up is tried again.
    memory.by_position.forget(0.8);
    for (size_t i = 0; i < num_sequences; ++i) states_.emplace_back(memory);
}

size_t DraftHead::offer(const Sequence& sequence, size_t limit) {
    State& state = states_[sequence.index];
    state.drafted.clear();
    state.confidence.clear();
    state.reach = 1.0;
    state.unsure = false;
    // A prompt of one token has no token behind its hidden state yet.
    return state.pending.empty() ? 0 : std::min(limit, max_tokens_);
}

double DraftHead::acceptance(const Sequence& sequence, size_t position) const {
    const State& state = states_[sequence.index];
    if (position < state.drafted.size()) return acceptance_of(state, position);
    return state.by_position.estimate(0, position, kPrior, kPriorWeight);
}

double DraftHead::acceptance_of(const State& state, size_t position) const {
    const double confidence = state.confidence[position];
    return state.by_confidence.estimate(context_of(confidence), position, kTrust * confidence, kPriorWeight);
}

double DraftHead::seconds(const Sequence& sequence, size_t tokens) const {
    if (tokens == 0) return 0.0;
    const CostModel& cost = model_.cost_model();
    const size_t rows = pending_rows(states_[sequence.index]);
    const size_t of_step = std::min(rows, kRowsOfAStep);
    // A backlog serves every later draft too: each token bears its share.
    const double share = static_cast<double>(tokens) / static_cast<double>(sequence.remaining());
    const double backlog = share * (cost.seconds(rows) - cost.seconds(of_step));
    const double switches = of_step > 1 ? 2.0 * cost.switch_seconds() : 0.0;
    return cost.seconds(of_step) + static_cast<double>(tokens - 1) * cost.seconds(1) + switches + backlog;
}

bool DraftHead::choose(const Order& order, const float* words) {
    Sequence& sequence = *order.sequence;
    State& state = states_[sequence.index];
    const LogitsParams& params = sequence.request.logits;
    LogitsStats stats = logits_stats(words, model_.vocab_size());
    if (stats.argmax < 0) throw std::runtime_error("The draft head gave NaN logits");
    int64_t token = -1;
    if (params.is_identity()) {
        token = head_.token_ids()[static_cast<size_t>(stats.argmax)];
    } else {
        head_.scatter(words, row_.data(), vocab_);
        process_logits(row_.data(), vocab_, params, sequence.counts);
        if (!params.do_sample) {
            stats = logits_stats(row_.data(), vocab_);
            token = stats.argmax;
        } else if (softmax(row_.data(), vocab_)) {
            token = sample(row_.data(), vocab_, sequence.draft_rng);
            stats.max_prob = row_[static_cast<size_t>(token)];
        }
        // The processors leave none of the tokens that the head has words for: nothing to propose.
        state.unsure = token < 0;
        if (token < 0) return false;
        if (params.do_sample) sequence.draft.probs.push_back(row_);
    }
    sequence.draft.tokens.push_back(token);
    sequence.counts.push(token);
    state.drafted.push_back(token);
    state.confidence.push_back(stats.max_prob);
    state.reach *= acceptance_of(state, state.drafted.size() - 1);
    const auto& eos = sequence.request.eos_token_ids;  // nothing can follow it
    if (state.drafted.size() == order.tokens || std::find(eos.begin(), eos.end(), token) != eos.end()) return false;
    state.unsure = state.reach < order.least_reach || stats.max_prob < confidence_threshold_;
    return !state.unsure;
}

size_t DraftHead::add_rows(FlatBatch& batch, const Order& order, size_t room) {
    const Sequence& sequence = *order.sequence;
    State& state = states_[sequence.index];
    model_.reserve(state.table, state.cached + pending_rows(state) + order.tokens);
    if (state.pending.empty()) {
        const auto& draft = sequence.draft.tokens;
        if (room == 0) return 0;
        batch.add(&draft.back(), 1, state.cached + draft.size() - 1, state.table.blocks(), 1);
        batch.hidden_states.insert(batch.hidden_states.end(), state.feedback.begin(), state.feedback.end());
        return 1;
    }
    const size_t rows = std::min(pending_rows(state), room);
    if (rows == 0) return 0;
    batch.add(sequence.tokens.data() + state.cached + 1, rows, state.cached, state.table.blocks(), 1);
    const auto end = state.pending.begin() + static_cast<std::ptrdiff_t>(rows * hidden_size_);
    batch.hidden_states.insert(batch.hidden_states.end(), state.pending.begin(), end);
    state.pending.erase(state.pending.begin(), end);
    state.cached += rows;
    return rows;
}

void DraftHead::propose(const std::vector<Order>& orders) {
    for (const Order& order : orders) states_[order.sequence->index].proposed = true;
    std::vector<Order> open = orders;
    FlatBatch batch;
    while (!open.empty()) {
        batch.clear();
        std::vector<size_t> rows;  // of each open sequence
        for (const Order& order : open) rows.push_back(add_rows(batch, order, max_batch_tokens_ - batch.tokens()));
        const float* words = model_.forward(batch);
        const float* hidden_states = model_.hidden_states();
        stats().forwards += 1;
        std::vector<Order> next;
        for (size_t i = 0; i < open.size(); ++i) {
            Sequence& sequence = *open[i].sequence;
            State& state = states_[sequence.index];
            bool go_on = true;
            if (rows[i] > 0) {
                hidden_states += rows[i] * hidden_size_;
                if (state.pending.empty()) {
                    state.feedback.assign(hidden_states - hidden_size_, hidden_states);
                    go_on = choose(open[i], words);
                }
                words += model_.vocab_size();
            }
            if (go_on) next.push_back(open[i]);
        }
        open.swap(next);
    }
    for (const auto& order : orders) {
        for (const int64_t token : order.sequence->draft.tokens) order.sequence->counts.pop(token);
    }
}

void DraftHead::saw(const Sequence& sequence, size_t first, const float* hidden_states, size_t n) {
    State& state = states_[sequence.index];
    if (first != state.cached + pending_rows(state)) throw std::logic_error("DraftHead: hidden states are missing");
    state.pending.insert(state.pending.end(), hidden_states, hidden_states + n * hidden_size_);
}

void DraftHead::committed(const Sequence& sequence, size_t n) {
    State& state = states_[sequence.index];
    if (sequence.finished()) {
        state.table.clear();
        state.pending = {};
        return;
    }
    if (!state.proposed) return;
    state.proposed = false;
    // Scored as far as it was drafted, not as far as it was verified: what came tells about more.
    const int64_t* came = sequence.tokens.data() + sequence.tokens.size() - n;
    size_t position = 0;
    for (; position < std::min(n, state.drafted.size()); ++position) {
        const bool accepted = state.drafted[position] == came[position];
        state.by_confidence.observe(context_of(state.confidence[position]), position, accepted ? 1.0 : 0.0);
        state.by_position.observe(0, position, accepted ? 1.0 : 0.0);
        if (!accepted) return;
    }
    // Of such a step no more was to be had.
    if (state.unsure && position == state.drafted.size()) state.by_position.observe(0, position, 0.0);
}

}  // namespace dynexec
