// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/row_limits.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace dynexec {
namespace {

size_t at(const std::vector<int32_t>& values, size_t i) { return static_cast<size_t>(values[i]); }

size_t rows_of(const FlatBatch& batch, size_t sequence) {
    return at(batch.subsequence_begins, sequence + 1) - at(batch.subsequence_begins, sequence);
}

// Divides one batch. The passes are filled one after the other.
class Division {
public:
    Division(const FlatBatch& batch, const RowLimits& limits, size_t block_size, int32_t scratch_block)
        : batch_(batch),
          limits_(limits),
          block_size_(block_size),
          scratch_block_(scratch_block),
          hidden_size_(batch.hidden_states.size() / batch.tokens()) {}

    std::vector<LimitedPass> passes() {
        for (size_t i = 0; i < batch_.past_lens.size(); ++i) {
            const size_t rows = rows_of(batch_, i);
            for (size_t done = 0; done < rows;) {
                const size_t taken = take(rows - done);
                add(i, done, taken);
                done += taken;
            }
        }
        for (LimitedPass& pass : passes_) finish(pass);
        return std::move(passes_);
    }

private:
    // The number of rows of a sequence that the last pass takes, of the `left` rows that still have no pass.
    size_t take(size_t left) {
        const size_t used = passes_.empty() ? limits_.most : passes_.back().batch.tokens();
        if (limits_.most - used < std::max<size_t>(1, limits_.per_sequence)) {
            passes_.emplace_back();
            return take(left);
        }
        const size_t taken = std::min(left, limits_.most - used);
        // What is left should be enough for the next pass.
        const size_t rest = left - taken;
        if (rest == 0 || rest >= limits_.per_sequence) return taken;
        const size_t given = limits_.per_sequence - rest;
        return taken >= given + limits_.per_sequence ? taken - given : taken;
    }

    void add(size_t sequence, size_t first, size_t rows) {
        LimitedPass& pass = passes_.back();
        FlatBatch& made = pass.batch;
        const size_t begin = at(batch_.subsequence_begins, sequence) + first;
        const size_t past = at(batch_.past_lens, sequence) + first;
        const size_t added = limits_.per_sequence - std::min(limits_.per_sequence, rows);
        const auto blocks = batch_.block_indices.begin();
        blocks_.assign(blocks + batch_.block_indices_begins[sequence],
                       blocks + batch_.block_indices_begins[sequence + 1]);
        make_room(past + rows + added);

        const size_t start = made.tokens();
        made.add(batch_.input_ids.data() + begin, rows, past, blocks_, 0);
        std::copy_n(batch_.position_ids.data() + begin, rows, made.position_ids.data() + start);
        const float* const states = batch_.hidden_states.data() + begin * hidden_size_;
        made.hidden_states.insert(made.hidden_states.end(), states, states + rows * hidden_size_);
        const auto& wanted = batch_.logits_indices;
        for (; logits_ < wanted.size() && static_cast<size_t>(wanted[logits_]) < begin + rows; ++logits_) {
            made.logits_indices.push_back(wanted[logits_] + static_cast<int64_t>(start) - static_cast<int64_t>(begin));
        }
        made.has_backlog = batch_.has_backlog;
        if (added > 0) made.pad(added, false);

        auto& kept = pass.kept;
        if (!kept.empty() && kept.back().first + kept.back().second == start) {
            kept.back().second += rows;
        } else {
            kept.emplace_back(start, rows);
        }
    }

    void finish(LimitedPass& pass) {
        FlatBatch& made = pass.batch;
        if (made.tokens() < limits_.least) {
            const size_t added = limits_.least - made.tokens();
            const size_t last = made.past_lens.size() - 1;
            blocks_.assign(made.block_indices.begin() + made.block_indices_begins[last], made.block_indices.end());
            make_room(at(made.past_lens, last) + rows_of(made, last) + added);
            made.block_indices.resize(static_cast<size_t>(made.block_indices_begins[last]));
            made.block_indices.insert(made.block_indices.end(), blocks_.begin(), blocks_.end());
            made.block_indices_begins.back() = static_cast<int32_t>(made.block_indices.size());
            made.pad(added, false);
        }
        // The unembedding is a product with these rows alone. Repeated rows come last, where nobody reads them.
        auto& logits = made.logits_indices;
        pass.logits = logits.size();
        while (logits.size() < limits_.least) logits.push_back(logits.empty() ? 0 : logits.back());
    }

    void make_room(size_t tokens) {
        while (blocks_.size() * block_size_ < tokens && block_size_ > 0) blocks_.push_back(scratch_block_);
    }

    const FlatBatch& batch_;
    const RowLimits& limits_;
    const size_t block_size_;
    const int32_t scratch_block_;
    const size_t hidden_size_;
    std::vector<LimitedPass> passes_;
    std::vector<int32_t> blocks_;
    size_t logits_ = 0;  // the number of logits_indices that have a pass
};

}  // namespace

void validate(const RowLimits& limits) {
    if (limits.per_sequence > 0 && limits.least > 0 && limits.attention > 0 &&
        limits.most >= std::max(limits.per_sequence, limits.least)) {
        return;
    }
    throw std::invalid_argument(
        "RowLimits: a pass needs at least one row of each sequence and must have room for the least number of rows; "
        "per_sequence is " +
        std::to_string(limits.per_sequence) + ", least is " + std::to_string(limits.least) + ", most is " +
        std::to_string(limits.most) + ", attention is " + std::to_string(limits.attention));
}

bool keeps(const FlatBatch& batch, const RowLimits& limits) {
    if (batch.tokens() < limits.least || batch.tokens() > limits.most) return false;
    if (batch.logits_indices.size() < limits.least) return false;
    for (size_t i = 0; i < batch.past_lens.size(); ++i) {
        if (rows_of(batch, i) < limits.per_sequence) return false;
    }
    return true;
}

std::vector<LimitedPass> divide(const FlatBatch& batch, const RowLimits& limits, size_t block_size,
                                int32_t scratch_block) {
    return Division(batch, limits, block_size, scratch_block).passes();
}

}  // namespace dynexec
