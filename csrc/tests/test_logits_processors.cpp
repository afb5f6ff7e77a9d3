// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <random>
#include <stdexcept>

#include "check.h"
#include "kernels/logits_processors_isa.h"
#include "reference.h"

using namespace dynexec;
using reference::kInf;
using reference::kNan;

namespace {

using Row = std::vector<float>;

Row process(Row row, const LogitsParams& params, const TokenCounts& counts = {}) {
    process_logits(row.data(), row.size(), params, counts);
    return row;
}

LogitsParams sampling() {
    LogitsParams params;
    params.do_sample = true;
    return params;
}

TokenCounts make_counts(const std::vector<int64_t>& prompt, const std::vector<int64_t>& output) {
    TokenCounts counts;
    counts.add_prompt(prompt.data(), prompt.size());
    for (const int64_t token : output) counts.push(token);
    return counts;
}

// Natural logarithms, with log(0) = -inf.
Row log_row(const std::vector<double>& probabilities) {
    Row row;
    for (const double p : probabilities) row.push_back(static_cast<float>(std::log(p)));
    return row;
}

}  // namespace

TEST(neutral_parameters_change_nothing) {
    const Row row = {0.5f, -kInf, 3.0f, -2.0f};
    const TokenCounts counts = make_counts({0, 1}, {2, 2});
    CHECK(LogitsParams().is_identity());
    CHECK(process(row, LogitsParams(), counts) == row);
    CHECK(!sampling().is_identity());
    CHECK(process(row, sampling(), counts) == row);
}

TEST(identity_ends_with_the_first_active_step) {
    LogitsParams params;
    params.temperature = 0.1f;  // the warpers do not run when decoding greedily
    params.top_k = 1;
    params.top_p = 0.1f;
    params.min_p = 0.5f;
    params.min_new_tokens = 3;  // nothing to suppress yet
    CHECK(params.is_identity());
    params.eos_token_ids = {1};
    CHECK(!params.is_identity());
    const Row row = {1.0f, 2.0f, 3.0f};
    CHECK(process(row, params) == Row({1.0f, -kInf, 3.0f}));

    params = LogitsParams();
    params.repetition_penalty = 1.1f;
    CHECK(!params.is_identity());
    params = LogitsParams();
    params.presence_penalty = -0.5f;
    CHECK(!params.is_identity());
    params = LogitsParams();
    params.frequency_penalty = 0.5f;
    CHECK(!params.is_identity());
}

TEST(repetition_penalty_covers_prompt_and_output_once) {
    LogitsParams params;
    params.repetition_penalty = 2.0f;
    const TokenCounts counts = make_counts({0, 1, 1}, {1, 2, 2, 5});
    const Row row = {4.0f, -4.0f, 0.0f, 7.0f, -kInf, -kInf};
    CHECK(process(row, params, counts) == Row({2.0f, -8.0f, 0.0f, 7.0f, -kInf, -kInf}));
}

TEST(presence_and_frequency_cover_output_only) {
    LogitsParams params;
    params.presence_penalty = 0.5f;
    params.frequency_penalty = 0.25f;
    const TokenCounts counts = make_counts({0, 1}, {1, 2, 2});
    CHECK(process(Row(4, 1.0f), params, counts) == Row({1.0f, 0.25f, 0.0f, 1.0f}));
    params.repetition_penalty = 2.0f;  // comes first
    CHECK(process(Row(4, 1.0f), params, counts) == Row({0.5f, -0.25f, -0.5f, 1.0f}));
}

TEST(min_new_tokens_holds_back_eos) {
    LogitsParams params;
    params.min_new_tokens = 2;
    params.eos_token_ids = {1, 3};
    const Row row(4, 1.0f);
    CHECK(process(row, params, make_counts({0, 1, 2}, {})) == Row({1.0f, -kInf, 1.0f, -kInf}));
    CHECK(process(row, params, make_counts({}, {0})) == Row({1.0f, -kInf, 1.0f, -kInf}));
    CHECK(process(row, params, make_counts({}, {0, 0})) == row);
}

TEST(ids_outside_the_vocabulary_are_ignored) {
    LogitsParams params;
    params.repetition_penalty = 2.0f;
    params.presence_penalty = params.frequency_penalty = 1.0f;
    params.min_new_tokens = 100;
    params.eos_token_ids = {-1, 2, INT64_MAX, INT64_MIN};
    const TokenCounts counts = make_counts({-1, 2, INT64_MAX}, {-5, 3, INT64_MIN});
    CHECK(process({1.0f, 2.0f}, params, counts) == Row({1.0f, 2.0f}));
}

TEST(counts_undo) {
    TokenCounts counts = make_counts({7}, {7, 8, 8});
    CHECK(counts.generated() == 3);
    CHECK(counts.items().at(7).in_prompt && counts.items().at(7).generated == 1);
    counts.pop(8);
    CHECK(counts.items().at(8).generated == 1);
    counts.pop(8);
    CHECK(counts.items().count(8) == 0);
    counts.pop(7);
    CHECK(counts.items().at(7).in_prompt && counts.generated() == 0);
    CHECK_THROWS(counts.pop(7), std::logic_error);
    CHECK_THROWS(counts.pop(9), std::logic_error);
    CHECK(counts.generated() == 0);
}

TEST(temperature_divides) {
    LogitsParams params = sampling();
    params.temperature = 0.5f;
    CHECK(process({1.0f, -3.0f, -kInf}, params) == Row({2.0f, -6.0f, -kInf}));
}

TEST(top_k_keeps_ties) {
    LogitsParams params = sampling();
    params.top_k = 2;
    CHECK(process({1.0f, 3.0f, 2.0f, 2.0f, 0.0f}, params) == Row({-kInf, 3.0f, 2.0f, 2.0f, -kInf}));
    params.top_k = 9;
    const Row row = {1.0f, 3.0f};
    CHECK(process(row, params) == row);
    params.top_k = 3;  // the third largest is -inf, and nothing is below that
    const Row holes = {1.0f, -kInf, 3.0f, -kInf};
    CHECK(process(holes, params) == holes);
}

TEST(top_p_at_its_threshold) {
    LogitsParams params = sampling();
    const Row row = log_row({0.125, 0.5, 0.125, 0.25});
    params.top_p = 0.6f;
    CHECK(process(row, params) == Row({-kInf, row[1], -kInf, row[3]}));
    params.top_p = 0.4f;
    CHECK(process(row, params) == Row({-kInf, row[1], -kInf, -kInf}));
    params.top_p = 0.8f;  // of two equal ones, the first stays
    CHECK(process(row, params) == Row({row[0], row[1], -kInf, row[3]}));
    params.top_p = 0.9f;
    CHECK(process(row, params) == row);
    for (const float top_p : {1e-6f, 0.0f}) {  // one is always left
        params.top_p = top_p;
        CHECK(process(row, params) == Row({-kInf, row[1], -kInf, -kInf}));
    }
    // A sum equal to 1 - top_p is still removed.
    params.top_p = 0.5f;
    CHECK(process(Row(4, 0.0f), params) == Row({0.0f, 0.0f, -kInf, -kInf}));
}

TEST(min_p_is_relative_to_the_largest) {
    LogitsParams params = sampling();
    const Row row = log_row({0.5, 0.3, 0.15, 0.05});
    params.min_p = 0.25f;
    CHECK(process(row, params) == Row({row[0], row[1], row[2], -kInf}));
    params.min_p = 0.99f;
    CHECK(process(row, params) == Row({row[0], -kInf, -kInf, -kInf}));
    CHECK(process(Row(3, -1.0f), params) == Row(3, -1.0f));
}

TEST(top_p_counts_only_what_top_k_left) {
    LogitsParams params = sampling();
    const Row row = log_row({0.4, 0.3, 0.2, 0.1});
    params.top_k = 2;
    params.top_p = 0.55f;  // 0.4 / 0.7 is enough
    CHECK(process(row, params) == Row({row[0], -kInf, -kInf, -kInf}));
}

TEST(rows_without_a_distribution_stay_without) {
    for (const float special : {kNan, kInf, -kInf}) {
        for (const size_t n : {1, 3, 65, 3000}) {
            LogitsParams params = sampling();
            params.temperature = 0.7f;
            params.top_k = 2;
            params.top_p = 0.9f;
            params.min_p = 0.1f;
            Row row(n, special == -kInf ? -kInf : 1.0f);
            row[n - 1] = special;
            row = process(row, params);
            CHECK(reference::softmax(row).empty());
        }
    }
}

TEST(random_rows_match_the_transcription_of_transformers) {
    std::mt19937_64 engine(5);
    const auto pick = [&](auto values) { return values[engine() % values.size()]; };
    for (int repeat = 0; repeat < 4000; ++repeat) {
        const size_t n = repeat < 3900 ? 1 + engine() % 300 : 4000 + engine() % 4000;
        LogitsParams params = sampling();
        params.top_k = pick(std::vector<size_t>{0, 0, 1, 2, 5, 50, 100, n});
        params.top_p = pick(std::vector<float>{1.0f, 0.999f, 0.95f, 0.9f, 0.5f, 0.1f, 1e-4f});
        params.min_p = pick(std::vector<float>{0.0f, 0.0f, 1e-3f, 0.05f, 0.5f, 0.9f});
        const float scale = pick(std::vector<float>{0.0f, 0.01f, 1.0f, 3.0f, 10.0f, 100.0f, 1e6f});
        std::normal_distribution<float> normal(0.0f, 1.0f);
        Row row(n);
        for (float& v : row) v = scale * normal(engine);
        if (repeat % 3 == 0) {
            for (float& v : row) v = std::round(v * 2.0f) / 2.0f;  // ties
        }
        if (repeat % 5 == 0) {
            for (size_t i = 0; i + 1 < n; ++i) row[i] = engine() % 2 == 0 ? -kInf : row[i];
        }
        for (const Isa isa : reference::supported_isas()) {
            Row warped = row;
            process_logits(isa, warped.data(), n, params, TokenCounts());
            CHECK(reference::warp_agrees(warped, row, params));
        }
    }
}
