// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include "check.h"
#include "kernels/suffix_automaton.h"

using namespace dynexec;

namespace {

using Text = std::vector<int64_t>;

// How often each token follows `context` in the texts, and the last one that reached its count.
std::map<int64_t, uint32_t> followers(const std::vector<Text>& texts, const Text& context) {
    std::map<int64_t, uint32_t> counts;
    for (const Text& text : texts) {
        for (size_t i = 0; i + context.size() < text.size(); ++i) {
            if (std::equal(context.begin(), context.end(), text.begin() + static_cast<std::ptrdiff_t>(i))) {
                ++counts[text[i + context.size()]];
            }
        }
    }
    return counts;
}

bool occurs(const std::vector<Text>& texts, const Text& context) {
    return context.empty() || std::any_of(texts.begin(), texts.end(), [&](const Text& text) {
               return std::search(text.begin(), text.end(), context.begin(), context.end()) != text.end();
           });
}

Text suffix(const Text& text, size_t length) {
    return Text(text.end() - static_cast<std::ptrdiff_t>(length), text.end());
}

// The state of a context that occurs.
SuffixAutomaton::State state_of(const SuffixAutomaton& automaton, const Text& context) {
    SuffixAutomaton::Cursor cursor;
    for (const int64_t token : context) automaton.advance(cursor, token);
    CHECK(cursor.length == context.size());
    return cursor.state;
}

void check_counts(const SuffixAutomaton& automaton, const std::vector<Text>& texts, const Text& context) {
    const auto expected = followers(texts, context);
    const auto next = automaton.most_frequent(state_of(automaton, context));
    uint32_t total = 0, most = 0;
    for (const auto& [token, count] : expected) {
        total += count;
        most = std::max(most, count);
    }
    CHECK(next.total == total);
    CHECK(next.count == most);
    if (total > 0) CHECK(expected.at(next.token) == most);
}

}  // namespace

TEST(counts_and_contexts_match_brute_force) {
    std::mt19937_64 engine(4);
    for (int repeat = 0; repeat < 200; ++repeat) {
        const uint64_t alphabet = 1 + engine() % 4;
        const size_t num_texts = 1 + engine() % 3;
        SuffixAutomaton automaton;
        std::vector<Text> texts(num_texts);
        std::vector<SuffixAutomaton::State> ends(num_texts, SuffixAutomaton::kRoot);
        for (size_t i = 0; i < num_texts * 20; ++i) {
            const size_t k = engine() % num_texts;  // the texts grow in turns
            // Contexts on the way to the root are counted up to kCounted.
            if (texts[k].size() + 2 >= SuffixAutomaton::kCounted) continue;
            texts[k].push_back(static_cast<int64_t>(engine() % alphabet) - 1);
            ends[k] = automaton.append(ends[k], texts[k].back());
        }
        for (size_t k = 0; k < num_texts; ++k) {
            const Text& text = texts[k];
            CHECK(automaton.length(ends[k]) == text.size());
            if (!text.empty()) CHECK(state_of(automaton, text) == ends[k]);
            for (size_t begin = 0; begin < text.size(); ++begin) {
                for (size_t end = begin; end <= text.size(); ++end) {
                    check_counts(automaton, texts,
                                 Text(text.begin() + static_cast<std::ptrdiff_t>(begin),
                                      text.begin() + static_cast<std::ptrdiff_t>(end)));
                }
            }
        }
    }
}

TEST(a_shorter_context_is_the_longest_that_occurs_at_more_places) {
    std::mt19937_64 engine(6);
    for (int repeat = 0; repeat < 100; ++repeat) {
        const uint64_t alphabet = 1 + engine() % 3;
        SuffixAutomaton automaton;
        SuffixAutomaton::State end = SuffixAutomaton::kRoot;
        Text text;
        for (int i = 0; i < 60; ++i) {
            text.push_back(static_cast<int64_t>(engine() % alphabet));
            end = automaton.append(end, text.back());
            const Text before(text.begin(), text.end() - 1);
            size_t longest = text.size() - 1;
            while (!occurs({before}, suffix(text, longest))) --longest;
            CHECK(automaton.length(automaton.shorter(end)) == longest);
        }
    }
}

TEST(a_cursor_finds_the_longest_suffix_that_occurs) {
    std::mt19937_64 engine(9);
    for (int repeat = 0; repeat < 100; ++repeat) {
        const uint64_t alphabet = 2 + engine() % 3;
        SuffixAutomaton automaton;
        Text text, other;
        SuffixAutomaton::State end = SuffixAutomaton::kRoot;
        SuffixAutomaton::Cursor cursor;
        for (int i = 0; i < 80; ++i) {
            text.push_back(static_cast<int64_t>(engine() % alphabet));
            end = automaton.append(end, text.back());
        }
        for (int i = 0; i < 80; ++i) {
            other.push_back(static_cast<int64_t>(engine() % (alphabet + 1)));
            automaton.advance(cursor, other.back());
            size_t longest = other.size();
            while (!occurs({text}, suffix(other, longest))) --longest;
            CHECK(cursor.length == longest);
            CHECK(cursor.state == state_of(automaton, suffix(other, longest)));
        }
    }
}

TEST(of_equally_frequent_tokens_the_latest_is_taken) {
    SuffixAutomaton automaton;
    SuffixAutomaton::State end = SuffixAutomaton::kRoot;
    for (const int64_t token : {1, 7, 1, 8, 1}) end = automaton.append(end, token);
    CHECK(automaton.most_frequent(automaton.shorter(end)).token == 8);
    for (const int64_t token : {7, 1}) end = automaton.append(end, token);
    const auto next = automaton.most_frequent(state_of(automaton, {1}));
    CHECK(next.token == 7 && next.count == 2 && next.total == 3);
}

TEST(memory_and_time_grow_with_the_number_of_tokens) {
    std::mt19937_64 engine(2);
    for (const uint64_t alphabet : {1, 2, 50000}) {
        SuffixAutomaton automaton;
        SuffixAutomaton::State end = SuffixAutomaton::kRoot;
        constexpr size_t kTokens = 200000;  // takes minutes if a token takes more than a constant time
        for (size_t i = 0; i < kTokens; ++i) end = automaton.append(end, static_cast<int64_t>(engine() % alphabet));
        CHECK(automaton.num_states() <= 2 * kTokens);
        CHECK(automaton.bytes() < 500 * kTokens);
        std::printf("alphabet %zu: %zu bytes for each token\n", static_cast<size_t>(alphabet),
                    automaton.bytes() / kTokens);
    }
}
