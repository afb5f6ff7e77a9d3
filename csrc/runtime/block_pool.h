// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dynexec {

// Free list over the KV cache blocks of one model. A block holds the keys and values of `block_size` tokens in every
// layer (PagedAttention, arXiv 2309.06180).
class BlockPool {
public:
    explicit BlockPool(size_t block_size) : block_size_(block_size) {}

    size_t block_size() const { return block_size_; }
    size_t capacity() const { return capacity_; }
    size_t available() const { return free_.size(); }
    size_t blocks_for(size_t tokens) const { return (tokens + block_size_ - 1) / block_size_; }

    void grow(size_t capacity);  // no-op if not larger
    int32_t allocate();          // throws std::logic_error if none is available
    void release(int32_t block) { free_.push_back(block); }

private:
    size_t block_size_;
    size_t capacity_ = 0;
    std::vector<int32_t> free_;
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
    void clear();
    const std::vector<int32_t>& blocks() const { return blocks_; }

private:
    BlockPool* pool_ = nullptr;
    std::vector<int32_t> blocks_;
};

}  // namespace dynexec
