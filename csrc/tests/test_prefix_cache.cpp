// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <algorithm>
#include <deque>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.h"
#include "runtime/prefix_cache.h"

using namespace dynexec;

namespace {

constexpr size_t kBlock = 2;
using Tokens = std::vector<int64_t>;

struct Scene {
    explicit Scene(size_t blocks) { pool.grow(blocks); }

    struct Text {
        Tokens tokens;
        std::string salt;
        PrefixCache::Place place{};
        BlockTable table{};
    };

    // A sequence begins: returns the number of tokens that were found.
    size_t begin(Text& text) {
        return cache.find(text.salt, text.tokens.data(), text.tokens.size(), text.place, text.table);
    }
    // It runs to its end.
    void run(Text& text) {
        text.table.reserve(pool, text.tokens.size());
        cache.keep(text.salt, text.tokens.data(), text.tokens.size(), text.place, text.table);
    }
    size_t use(Tokens tokens, std::string salt = "") {
        Text text{std::move(tokens), std::move(salt)};
        const size_t found = begin(text);
        run(text);
        text.table.clear();
        return found;
    }

    BlockPool pool{kBlock};
    PrefixCache cache{pool};
};

}  // namespace

TEST(full_blocks_are_found_again_by_their_text) {
    Scene scene(20);
    CHECK(scene.use({1, 2, 3, 4, 5}) == 0);
    CHECK(scene.use({1, 2, 3, 4, 5, 6}) == 4);
    CHECK(scene.use({1, 2, 3, 4, 5, 6}) == 6);
    CHECK(scene.use({1, 2, 9, 4}) == 2);
    // The same block after another text is another block.
    CHECK(scene.use({3, 4}) == 0);
    CHECK(scene.use({1}) == 0);
    CHECK(scene.pool.available() == scene.pool.capacity());
}

TEST(another_salt_finds_nothing) {
    Scene scene(20);
    scene.use({1, 2, 3, 4}, "one");
    CHECK(scene.use({1, 2, 3, 4}, "two") == 0);
    CHECK(scene.use({1, 2, 3, 4}) == 0);
    CHECK(scene.use({1, 2, 3, 4}, "one") == 4);
}

TEST(sequences_at_the_same_time_share_their_blocks) {
    Scene scene(20);
    Scene::Text first{{1, 2, 3, 4}, ""}, second{{1, 2, 3, 4}, ""}, third{{1, 2, 3, 4}, ""};
    // Both have run before one of them is known.
    CHECK(scene.begin(first) == 0 && scene.begin(second) == 0);
    first.table.reserve(scene.pool, 4);
    second.table.reserve(scene.pool, 4);
    scene.run(first);
    scene.run(second);
    CHECK(first.table.blocks() == second.table.blocks());
    CHECK(scene.pool.available() == 18);
    CHECK(scene.begin(third) == 4);
    CHECK(third.table.blocks() == first.table.blocks());
    first.table.clear();
    second.table.clear();
    CHECK(scene.pool.available() == 18);
    third.table.clear();
    CHECK(scene.pool.available() == 20);
}

TEST(the_least_recently_used_blocks_are_given_up_and_children_before_parents) {
    Scene scene(6);
    scene.use({1, 2, 3, 4});
    scene.use({5, 6, 7, 8});
    scene.use({1, 2, 3, 4});
    // Two blocks were never used. Three are needed, so one is given up: the second of the older text.
    scene.use({10, 11, 12, 13, 14, 15});
    CHECK(scene.use({5, 6}) == 2);
    CHECK(scene.use({1, 2, 3, 4}) == 4);
    CHECK(scene.use({5, 6, 7, 8}) == 2);
}

TEST(the_older_of_two_blocks_that_were_never_found_is_given_up) {
    for (const int64_t first : {1, 5}) {
        Scene scene(2);
        scene.use({first, 2});
        scene.use({6 - first, 2});
        scene.use({9, 9});
        CHECK(scene.use({6 - first, 2}) == 2);
    }
}

TEST(blocks_in_use_are_never_given_up) {
    Scene scene(3);
    Scene::Text text{{1, 2, 3, 4}, ""};
    scene.run(text);
    CHECK(scene.pool.available() == 1);
    scene.use({7, 8});
    CHECK(scene.use({9, 10}) == 0);
    CHECK(scene.use({7, 8}) == 0);
    const Tokens long_text = {1, 2, 5, 6, 7, 8};
    CHECK_THROWS(scene.use(long_text), std::logic_error);
}

TEST(what_is_cleared_is_no_longer_found) {
    Scene scene(8);
    scene.use({1, 2, 3, 4});
    Scene::Text text{{5, 6}, ""};
    scene.run(text);
    scene.cache.clear();
    CHECK(scene.cache.num_blocks() == 1);
    CHECK(scene.use({1, 2, 3, 4}) == 0);
    CHECK(scene.use({5, 6}) == 2);
}

// Against a model of it: texts as keys, and the content of each block.
TEST(a_block_that_is_found_holds_the_text_it_was_written_with) {
    std::mt19937 random(1);
    for (int round = 0; round < 200; ++round) {
        Scene scene(4 + random() % 12);
        std::map<int32_t, std::pair<std::string, Tokens>> content;  // the whole text to the end of the block
        std::deque<Scene::Text> running;
        for (int step = 0; step < 150; ++step) {
            if (running.size() < 3 && random() % 2 == 0) {
                Scene::Text& text = running.emplace_back();
                for (size_t n = 1 + random() % 7; n > 0; --n) text.tokens.push_back(random() % 2);
                text.salt = random() % 4 == 0 ? "other" : "";
                const size_t found = scene.begin(text);
                for (size_t i = 0; i < found / kBlock; ++i) {
                    const Tokens whole(text.tokens.begin(), text.tokens.begin() + (i + 1) * kBlock);
                    CHECK(content.at(text.table.blocks()[i]) == std::make_pair(text.salt, whole));
                }
                const size_t needed = scene.pool.blocks_for(text.tokens.size()) - text.table.blocks().size();
                if (needed > scene.pool.available()) {
                    text.table.clear();
                    running.pop_back();
                    continue;
                }
                text.table.reserve(scene.pool, text.tokens.size());
                for (size_t i = found / kBlock; i < text.table.blocks().size(); ++i) {
                    const size_t end = std::min(text.tokens.size(), (i + 1) * kBlock);
                    content[text.table.blocks()[i]] = {text.salt,
                                                       Tokens(text.tokens.begin(), text.tokens.begin() + end)};
                }
                scene.cache.keep(text.salt, text.tokens.data(), text.tokens.size(), text.place, text.table);
            } else if (!running.empty()) {
                running.front().table.clear();
                running.pop_front();
            }
        }
        for (auto& text : running) text.table.clear();
        CHECK(scene.pool.available() == scene.pool.capacity());
        scene.cache.clear();
        CHECK(scene.cache.num_blocks() == 0);
        CHECK(scene.pool.unused() == scene.pool.capacity());
    }
}
