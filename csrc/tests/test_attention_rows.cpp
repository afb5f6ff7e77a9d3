// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <algorithm>
#include <random>

#include "check.h"
#include "runtime/attention_rows.h"

using namespace dynexec;

namespace {

constexpr size_t kBlockSize = 4;
constexpr int32_t kScratch = 1000;

size_t draw(std::mt19937& random, size_t low, size_t high) {
    return std::uniform_int_distribution<size_t>(low, high)(random);
}

}  // namespace

TEST(short_sequences_get_rows_that_touch_nothing_of_others) {
    std::mt19937 random(3);
    for (int round = 0; round < 3000; ++round) {
        FlatBatch batch;
        int32_t block = 0;
        for (size_t sequences = draw(random, 1, 6); sequences > 0; --sequences) {
            const size_t rows = draw(random, 1, 5), past = draw(random, 0, 9);
            const std::vector<int64_t> ids(rows, 7);
            std::vector<int32_t> blocks((past + rows + kBlockSize - 1) / kBlockSize);
            for (int32_t& b : blocks) b = block++;
            batch.add(ids.data(), rows, past, blocks, 1);
        }
        const size_t least = draw(random, 1, 3);
        AttentionRows made;
        made.follow(batch, least, kBlockSize, kScratch);

        CHECK(made.kept.size() == batch.tokens());
        for (size_t i = 0; i < batch.tokens(); ++i) {
            CHECK(made.rows.at(static_cast<size_t>(made.kept[i])) == static_cast<int64_t>(i));
        }
        CHECK(made.subsequence_begins.size() == batch.subsequence_begins.size());
        CHECK(static_cast<size_t>(made.subsequence_begins.back()) == made.rows.size());
        for (size_t s = 0; s < batch.past_lens.size(); ++s) {
            const int32_t rows = batch.subsequence_begins[s + 1] - batch.subsequence_begins[s];
            const int32_t seen = made.subsequence_begins[s + 1] - made.subsequence_begins[s];
            CHECK(seen == std::max(rows, static_cast<int32_t>(least)));
            CHECK(made.max_context_len >= batch.past_lens[s] + seen);
            // The rows of the batch come first, at their places. Those that are added have places in blocks of the
            // sequence after its tokens, or in the scratch block.
            const auto begin = static_cast<size_t>(made.block_indices_begins[s]);
            const auto end = static_cast<size_t>(made.block_indices_begins[s + 1]);
            const auto own = static_cast<size_t>(batch.block_indices_begins[s + 1] - batch.block_indices_begins[s]);
            for (size_t i = 0; i < end - begin; ++i) {
                const int32_t expected =
                    i < own ? batch.block_indices[static_cast<size_t>(batch.block_indices_begins[s]) + i] : kScratch;
                CHECK(made.block_indices[begin + i] == expected);
            }
            CHECK((end - begin) * kBlockSize >= static_cast<size_t>(batch.past_lens[s] + seen));
            for (int32_t i = 0; i < seen; ++i) {
                const int64_t row = made.rows[static_cast<size_t>(made.subsequence_begins[s] + i)];
                CHECK(row == batch.subsequence_begins[s] + std::min(i, rows - 1));
            }
        }
    }
}
