// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <random>
#include <stdexcept>

#include "check.h"
#include "kernels/ngram_index.h"
#include "reference.h"

using namespace dynexec;

namespace {

std::vector<int64_t> propose(const NGramIndex& index, size_t k) {
    std::vector<int64_t> out = {-99};  // must be overwritten
    index.propose(index.longest_match(), k, out);
    return out;
}

}  // namespace

TEST(max_ngram_is_bounded) {
    CHECK_THROWS(NGramIndex(0), std::invalid_argument);
    CHECK_THROWS(NGramIndex(65), std::invalid_argument);
    NGramIndex(1);
    NGramIndex(64);
}

TEST(small_example) {
    NGramIndex index(3);
    CHECK(index.longest_match().length == 0);
    CHECK(propose(index, 4).empty());
    const std::vector<int64_t> tokens = {1, 2, 3, 4, 9, 2, 3};
    index.append(tokens.data(), tokens.size());
    CHECK(index.tokens() == tokens);
    CHECK(index.longest_match().length == 2);
    CHECK(index.longest_match().next == 3);
    CHECK(propose(index, 2) == std::vector<int64_t>({4, 9}));
    CHECK(propose(index, 0).empty());
    index.append(5);
    CHECK(index.longest_match().length == 0);
}

TEST(the_latest_occurrence_wins) {
    NGramIndex index(2);
    for (const int64_t token : {1, 2, 7, 1, 2, 8, 1, 2}) index.append(token);
    CHECK(index.longest_match().next == 5);
    CHECK(propose(index, 1) == std::vector<int64_t>({8}));
}

TEST(proposals_continue_a_short_period) {
    NGramIndex index(3);
    for (const int64_t token : {5, 6, 5, 6}) index.append(token);
    CHECK(propose(index, 7) == std::vector<int64_t>({5, 6, 5, 6, 5, 6, 5}));
    NGramIndex constant(3);
    for (int i = 0; i < 2; ++i) constant.append(4);
    CHECK(propose(constant, 5) == std::vector<int64_t>(5, 4));
}

TEST(matches_brute_force) {
    std::mt19937_64 engine(8);
    for (int repeat = 0; repeat < 300; ++repeat) {
        const uint64_t alphabet = 1 + engine() % 6;
        const size_t max_ngram = repeat % 10 == 0 ? 64 : 1 + engine() % 8;
        NGramIndex index(max_ngram);
        for (int i = 0; i < 200; ++i) {
            index.append(static_cast<int64_t>(engine() % alphabet) - 2);
            const NGramIndex::Match match = index.longest_match();
            const reference::Match expected = reference::longest_match(index.tokens(), max_ngram);
            CHECK(match.length == expected.length);
            CHECK(match.length == 0 || match.next == expected.next);
            const size_t k = engine() % 12;
            const std::vector<int64_t> proposed = propose(index, k);
            CHECK(proposed.size() == (match.length == 0 ? 0 : k));
            // The sequence with its proposal repeats itself at one distance.
            std::vector<int64_t> extended = index.tokens();
            for (const int64_t token : proposed) {
                CHECK(token == extended[match.next + (extended.size() - index.tokens().size())]);
                extended.push_back(token);
            }
        }
    }
}

TEST(survives_growth) {
    // Few repeats, so that the table doubles many times, then the whole sequence once more.
    NGramIndex index(4);
    std::mt19937_64 engine(9);
    std::vector<int64_t> tokens(20000);
    for (int64_t& token : tokens) token = static_cast<int64_t>(engine() % 50000);
    index.append(tokens.data(), tokens.size());
    for (size_t i = 0; i < tokens.size(); ++i) {
        index.append(tokens[i]);
        if (i < 4) continue;
        const NGramIndex::Match match = index.longest_match();
        CHECK(match.length == 4);
        CHECK(match.next == i + 1);
    }
}

TEST(a_hash_collision_is_no_match) {
    // Two bigrams with one hash, made with the index's own hash function. Should that change, this test only gets
    // weaker.
    const auto extend_left = [](uint64_t hash, int64_t token) {
        hash = (hash ^ static_cast<uint64_t>(token)) * 0x9e3779b97f4a7c15u;
        return hash ^ (hash >> 32);
    };
    const uint64_t kEmptyHash = 0x243f6a8885a308d3u;
    const int64_t a = 1, b = 2, d = 3;
    const int64_t c =
        static_cast<int64_t>(extend_left(kEmptyHash, b) ^ static_cast<uint64_t>(a) ^ extend_left(kEmptyHash, d));
    NGramIndex index(2);
    for (const int64_t token : {a, b, int64_t{50}, d, int64_t{60}, c, d}) index.append(token);
    CHECK(index.longest_match().length == 1);
    CHECK(index.longest_match().next == 4);
    // A match handed in from elsewhere is not trusted.
    std::vector<int64_t> out;
    index.propose({2, 7}, 3, out);
    CHECK(out.empty());
}
