// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtime/block_pool.h"

namespace dynexec {

// Full KV blocks, found again by their tokens and by all tokens before them. A block is a node of a tree whose path
// from the root is the text; the tokens themselves are compared, so no two texts can be confused. Each salt has a tree
// of its own: what one tenant has sent is never seen by another, not even in the time that a request takes.
//
// Blocks that no sequence uses are idle. They are kept until the pool needs them, the least recently used first, and
// children before their parents.
class PrefixCache {
    struct Node;

public:
    // Where a sequence is in the tree.
    struct Place {
        Node* node = nullptr;  // of its last known block; without one, nullptr
        size_t blocks = 0;     // number of its known blocks
    };

    // `pool` must outlive it.
    explicit PrefixCache(BlockPool& pool);
    ~PrefixCache();
    PrefixCache(const PrefixCache&) = delete;
    PrefixCache& operator=(const PrefixCache&) = delete;

    // Gives an empty table the known blocks of the first `n` tokens. Returns the number of their tokens.
    size_t find(const std::string& salt, const int64_t* tokens, size_t n, Place& place, BlockTable& table);
    // The first `n` tokens of a sequence have been run: from now on, its full blocks are known. A block whose text is
    // known already is replaced by the known one.
    void keep(const std::string& salt, const int64_t* tokens, size_t n, Place& place, BlockTable& table);
    // Forgets all blocks that no sequence uses.
    void clear();

    size_t num_blocks() const { return nodes_.size(); }

    // For the pool: the number of idle blocks; a known block gets its first user; loses its last user, and returns
    // whether the block is known; and the least recently used idle block, which is then no longer known.
    size_t idle() const { return num_idle_; }
    void used(int32_t block);
    bool keeps(int32_t block);
    int32_t evict();

private:
    using Tokens = std::vector<int64_t>;
    struct Node {
        int32_t block = -1;  // of a root: none
        Node* parent = nullptr;
        const Tokens* tokens = nullptr;     // the key in its parent
        const std::string* salt = nullptr;  // of a root: the key in `roots_`
        std::map<Tokens, std::unique_ptr<Node>> children;
        bool idle = false;
        uint64_t last_use = 0;
    };

    BlockPool& pool_;
    std::map<std::string, Node> roots_;
    std::unordered_map<int32_t, Node*> nodes_;     // by their blocks
    std::set<std::pair<uint64_t, Node*>> leaves_;  // idle, without children
    size_t num_idle_ = 0;
    uint64_t uses_ = 0;
};

}  // namespace dynexec
