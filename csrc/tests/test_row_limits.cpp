// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <algorithm>
#include <random>
#include <stdexcept>

#include "check.h"
#include "runtime/row_limits.h"

using namespace dynexec;

namespace {

constexpr size_t kBlockSize = 4;
constexpr int32_t kScratch = 1000;
constexpr size_t kHidden = 2;

size_t draw(std::mt19937& random, size_t low, size_t high) {
    return std::uniform_int_distribution<size_t>(low, high)(random);
}

// Sequences of random lengths, each with its own blocks, and with logits for its last rows.
FlatBatch random_batch(std::mt19937& random) {
    FlatBatch batch;
    int32_t block = 0;
    for (size_t sequences = draw(random, 1, 6); sequences > 0; --sequences) {
        const size_t rows = draw(random, 1, 20);
        const size_t past = draw(random, 0, 9);
        std::vector<int64_t> ids(rows);
        for (int64_t& id : ids) id = static_cast<int64_t>(draw(random, 0, 99));
        std::vector<int32_t> blocks((past + rows + kBlockSize - 1) / kBlockSize);
        for (int32_t& b : blocks) b = block++;
        batch.add(ids.data(), rows, past, blocks, draw(random, 1, rows));
    }
    for (size_t i = 0; i < batch.tokens() * kHidden; ++i) batch.hidden_states.push_back(static_cast<float>(i));
    return batch;
}

size_t rows_of(const FlatBatch& batch, size_t sequence) {
    return static_cast<size_t>(batch.subsequence_begins[sequence + 1] - batch.subsequence_begins[sequence]);
}

// The place in the cache that a row writes to: a block and an offset.
std::pair<int32_t, size_t> place(const FlatBatch& batch, size_t sequence, size_t row) {
    const size_t position = static_cast<size_t>(batch.past_lens[sequence]) + row;
    const size_t first = static_cast<size_t>(batch.block_indices_begins[sequence]);
    return {batch.block_indices.at(first + position / kBlockSize), position % kBlockSize};
}

struct Row {
    int64_t id, position;
    std::pair<int32_t, size_t> place;
    float hidden;
    bool operator==(const Row& o) const {
        return id == o.id && position == o.position && place == o.place && hidden == o.hidden;
    }
};

std::vector<Row> rows(const FlatBatch& batch) {
    std::vector<Row> found;
    for (size_t s = 0; s < batch.past_lens.size(); ++s) {
        for (size_t k = 0; k < rows_of(batch, s); ++k) {
            const size_t i = found.size();
            found.push_back({batch.input_ids.at(i), batch.position_ids.at(i), place(batch, s, k),
                             batch.hidden_states.at(i * kHidden)});
        }
    }
    return found;
}

}  // namespace

TEST(divided_batches_keep_the_limits_and_their_rows) {
    std::mt19937 random(7);
    for (int round = 0; round < 3000; ++round) {
        const FlatBatch batch = random_batch(random);
        RowLimits limits;
        limits.per_sequence = draw(random, 1, 3);
        limits.least = draw(random, 1, 6);
        limits.most = draw(random, std::max(limits.per_sequence, limits.least), 30);
        const auto passes = divide(batch, limits, kBlockSize, kScratch);

        std::vector<Row> kept;
        std::vector<Row> with_logits;
        for (const LimitedPass& pass : passes) {
            CHECK(keeps(pass.batch, limits));
            const std::vector<Row> all = rows(pass.batch);
            CHECK(all.size() == pass.batch.tokens());
            CHECK(pass.batch.hidden_states.size() == all.size() * kHidden);
            std::vector<bool> is_kept(all.size());
            for (const auto& [begin, n] : pass.kept) {
                for (size_t i = begin; i < begin + n; ++i) {
                    is_kept[i] = true;
                    kept.push_back(all[i]);
                }
            }
            for (size_t i = 0; i < pass.logits; ++i) {
                with_logits.push_back(all.at(static_cast<size_t>(pass.batch.logits_indices[i])));
            }
            // Added rows must not overwrite the keys and values of rows that are kept, in whichever pass.
            const std::vector<Row> real = rows(batch);
            for (size_t i = 0; i < all.size(); ++i) {
                const auto earlier =
                    std::find_if(real.begin(), real.end(), [&](const Row& row) { return row.place == all[i].place; });
                const bool overwrites = earlier != real.end() && !is_kept[i];
                // The places of rows of a later pass are free until then.
                const bool of_later = overwrites && static_cast<size_t>(earlier - real.begin()) >= kept.size();
                CHECK(!overwrites || of_later);
            }
            int32_t longest = 0;
            for (size_t s = 0; s < pass.batch.past_lens.size(); ++s) {
                longest = std::max(longest, pass.batch.past_lens[s] + static_cast<int32_t>(rows_of(pass.batch, s)));
            }
            CHECK(pass.batch.max_context_len == longest);
        }
        CHECK(kept == rows(batch));
        std::vector<Row> asked;
        const std::vector<Row> all = rows(batch);
        for (const int64_t index : batch.logits_indices) asked.push_back(all[static_cast<size_t>(index)]);
        CHECK(with_logits == asked);
    }
}

TEST(a_batch_within_the_limits_is_one_pass) {
    const int64_t ids[] = {1, 2, 3};
    FlatBatch batch;
    batch.add(ids, 3, 0, {0}, 2);
    CHECK(keeps(batch, RowLimits{2, 2, 3}));
    CHECK(!keeps(batch, RowLimits{4, 2, 8}));
    CHECK(!keeps(batch, RowLimits{2, 4, 8}));
    CHECK(!keeps(batch, RowLimits{2, 2, 2}));
    CHECK(!keeps(batch, RowLimits{2, 3, 8}));  // a product with two rows of logits
    CHECK(divide(batch, RowLimits{2, 2, 3}, kBlockSize, kScratch).size() == 1);
    CHECK(RowLimits{}.none());
}

TEST(limits_that_no_pass_keeps_are_refused) {
    for (const RowLimits limits : {RowLimits{0, 1, 8}, RowLimits{1, 0, 8}, RowLimits{4, 1, 3}, RowLimits{1, 4, 3}}) {
        bool refused = false;
        try {
            validate(limits);
        } catch (const std::invalid_argument&) {
            refused = true;
        }
        CHECK(refused);
    }
    validate(RowLimits{});
}
