// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "runtime/text_memory.h"

using namespace dynexec;

namespace {

// The length of the longest suffix of `text` that occurs in the texts of `scope`.
size_t longest_match(TextMemory& memory, const std::string& scope, const std::vector<int64_t>& text) {
    size_t longest = 0;
    for (const auto& automaton : memory.texts(scope)) {
        SuffixAutomaton::Cursor cursor;
        for (const int64_t token : text) automaton->advance(cursor, token);
        longest = std::max(longest, cursor.length);
    }
    return longest;
}

void add(TextMemory& memory, const std::string& scope, const std::vector<int64_t>& text) {
    memory.add(scope, text.data(), text.size());
}

}  // namespace

TEST(a_scope_sees_its_own_texts_alone) {
    TextMemory memory;
    add(memory, "a", {1, 2, 3, 4});
    add(memory, "b", {5, 6, 7});
    add(memory, "", {8, 9});
    CHECK(longest_match(memory, "a", {1, 2, 3, 4}) == 4);
    CHECK(longest_match(memory, "a", {5, 6, 7}) == 0);
    CHECK(longest_match(memory, "b", {5, 6, 7}) == 3);
    CHECK(longest_match(memory, "b", {1, 2, 3, 4}) == 0);
    CHECK(longest_match(memory, "", {8, 9}) == 2);
    CHECK(longest_match(memory, "", {6, 7}) == 0);
    CHECK(memory.texts("c").empty());
}

TEST(two_texts_are_not_one) {
    TextMemory memory;
    add(memory, "", {1, 2});
    add(memory, "", {3, 4});
    CHECK(longest_match(memory, "", {2, 3}) == 1);
    CHECK(longest_match(memory, "", {1, 2}) == 2);
}

TEST(the_memory_is_bounded_and_forgets_the_oldest) {
    constexpr size_t kMost = 800;
    TextMemory memory(kMost);
    std::mt19937_64 engine(1);
    std::vector<std::vector<int64_t>> texts;
    for (int64_t i = 0; i < 50; ++i) {
        std::vector<int64_t> text(1 + engine() % 200);
        for (size_t k = 0; k < text.size(); ++k) text[k] = 1000 * i + static_cast<int64_t>(k);
        add(memory, "", text);
        texts.push_back(text);
        CHECK(memory.num_tokens() <= kMost);
    }
    CHECK(memory.num_tokens() > kMost / 2);
    // Of a text that is longer than a part, the end.
    CHECK(longest_match(memory, "", texts.back()) == std::min<size_t>(texts.back().size(), 100));
    CHECK(longest_match(memory, "", texts.front()) == 0);
}

TEST(an_idle_scope_is_forgotten_before_a_small_one_that_is_used) {
    TextMemory memory(800);
    const std::vector<int64_t> idle = {1, 2, 3, 4, 5, 6, 7, 8};
    const std::vector<int64_t> used = {11, 12, 13};
    add(memory, "idle", idle);
    add(memory, "used", used);
    for (int64_t i = 0; i < 1000; ++i) {
        CHECK(longest_match(memory, "used", used) == used.size());
        std::vector<int64_t> text(8);
        for (size_t k = 0; k < text.size(); ++k) text[k] = 100 + 8 * i + static_cast<int64_t>(k);
        add(memory, "busy", text);
    }
    CHECK(memory.texts("idle").empty());
    CHECK(memory.num_tokens() > 600);
}

TEST(texts_outlive_the_memory) {
    TextMemory::Automata texts;
    {
        TextMemory memory;
        add(memory, "", {1, 2, 3});
        texts = memory.texts("");
    }
    SuffixAutomaton::Cursor cursor;
    for (const int64_t token : {1, 2, 3}) texts.front()->advance(cursor, token);
    CHECK(cursor.length == 3);
}

TEST(a_corpus_is_for_all_scopes_and_stays) {
    TextMemory memory(100);
    const std::vector<int64_t> corpus = {1, 2, 3, 4};
    memory.add_to_corpus(corpus.data(), corpus.size());
    memory.add_to_corpus(corpus.data(), 2);
    add(memory, "a", {5, 6, 7});
    CHECK(memory.num_tokens() == 3);
    CHECK(longest_match(memory, "a", corpus) == 4);
    CHECK(longest_match(memory, "b", corpus) == 4);
    // Two texts of the corpus are not one.
    CHECK(longest_match(memory, "b", {3, 4, 1}) == 1);
    for (int64_t i = 0; i < 50; ++i) add(memory, "a", {10 * i, 10 * i + 1, 10 * i + 2});
    CHECK(longest_match(memory, "a", corpus) == 4);
    memory.forget_all();
    CHECK(memory.num_tokens() == 0);
    CHECK(longest_match(memory, "a", corpus) == 4);
    CHECK(longest_match(memory, "a", {5, 6, 7}) == 0);
}
