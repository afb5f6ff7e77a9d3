// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/block_pool.h"

#include <stdexcept>

namespace dynexec {

void BlockPool::grow(size_t capacity) {
    // Lowest ids on top, so that a short run touches few pages.
    std::vector<int32_t> fresh;
    for (size_t block = capacity; block > capacity_; --block) fresh.push_back(static_cast<int32_t>(block - 1));
    free_.insert(free_.begin(), fresh.begin(), fresh.end());
    if (capacity > capacity_) capacity_ = capacity;
}

int32_t BlockPool::allocate() {
    if (free_.empty()) throw std::logic_error("BlockPool: no block is available; grow the pool first");
    const int32_t block = free_.back();
    free_.pop_back();
    return block;
}

void BlockTable::reserve(BlockPool& pool, size_t tokens) {
    pool_ = &pool;
    for (const size_t needed = pool.blocks_for(tokens); blocks_.size() < needed;) blocks_.push_back(pool.allocate());
}

void BlockTable::clear() {
    for (auto block = blocks_.rbegin(); block != blocks_.rend(); ++block) pool_->release(*block);
    blocks_.clear();
}

}  // namespace dynexec
