// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dynexec {

class PrefixCache;

// The KV cache blocks of one model. A block holds the keys and values of `block_size` tokens in every layer
// (PagedAttention, arXiv 2309.06180). Several sequences may use one block.
class BlockPool {
public:
    explicit BlockPool(size_t block_size) : block_size_(block_size) {}

    size_t block_size() const { return block_size_; }
    size_t capacity() const { return uses_.size(); }
    // Blocks that no sequence uses, those that the prefix cache keeps included.
    size_t available() const;
    size_t blocks_for(size_t tokens) const { return (tokens + block_size_ - 1) / block_size_; }
    // Blocks that nobody keeps.
    size_t unused() const { return free_.size(); }

    void grow(size_t capacity);  // no-op if not larger
    // A block for one user. Throws std::logic_error if none is available. Of those that the prefix cache keeps, the
    // least recently used one is taken last.
    int32_t allocate();
    void retain(int32_t block);   // one user more
    void release(int32_t block);  // one user less
    // For the prefix cache: a block that it no longer keeps, and that nobody uses.
    void give_back(int32_t block) { free_.push_back(block); }

    // `cache` keeps blocks that nobody uses; nullptr: none does. It must outlive this pool, or be detached.
    void attach(PrefixCache* cache) { cache_ = cache; }

private:
    size_t block_size_;
    std::vector<uint32_t> uses_;  // of each block
    std::vector<int32_t> free_;
    PrefixCache* cache_ = nullptr;
};

// The blocks of one sequence, released when it ends. A rollback of rejected tokens changes nothing here: the next
// forward pass starts from a smaller past length and overwrites them.
class BlockTable {
public:
    BlockTable() = default;
    BlockTable(const BlockTable&) = delete;
    BlockTable& operator=(const BlockTable&) = delete;
    ~BlockTable() { clear(); }

    // Makes room for `tokens` tokens with blocks of `pool`, which must have enough available blocks and outlive this
    // table.
    void reserve(BlockPool& pool, size_t tokens);
    // Appends a block that other tables use too.
    void share(BlockPool& pool, int32_t block);
    // Puts a block that other tables use too in the place of one with the same content.
    void replace(size_t i, int32_t block);
    void clear();
    const std::vector<int32_t>& blocks() const { return blocks_; }

private:
    BlockPool* pool_ = nullptr;
    std::vector<int32_t> blocks_;
};

}  // namespace dynexec
