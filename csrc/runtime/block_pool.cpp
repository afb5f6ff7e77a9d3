// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/block_pool.h"

#include <stdexcept>

#include "runtime/prefix_cache.h"

namespace dynexec {

size_t BlockPool::available() const { return free_.size() + (cache_ == nullptr ? 0 : cache_->idle()); }

void BlockPool::grow(size_t capacity) {
    // Lowest ids on top, so that a short run touches few pages.
    std::vector<int32_t> fresh;
    for (size_t block = capacity; block > uses_.size(); --block) fresh.push_back(static_cast<int32_t>(block - 1));
    free_.insert(free_.begin(), fresh.begin(), fresh.end());
    if (capacity > uses_.size()) uses_.resize(capacity);
}

int32_t BlockPool::allocate() {
    if (available() == 0) throw std::logic_error("BlockPool: no block is available; grow the pool first");
    if (free_.empty()) free_.push_back(cache_->evict());
    const int32_t block = free_.back();
    free_.pop_back();
    uses_[static_cast<size_t>(block)] = 1;
    return block;
}

void BlockPool::retain(int32_t block) {
    if (uses_[static_cast<size_t>(block)]++ == 0) cache_->used(block);
}

void BlockPool::release(int32_t block) {
    if (--uses_[static_cast<size_t>(block)] > 0) return;
    if (cache_ == nullptr || !cache_->keeps(block)) free_.push_back(block);
}

void BlockTable::reserve(BlockPool& pool, size_t tokens) {
    pool_ = &pool;
    for (const size_t needed = pool.blocks_for(tokens); blocks_.size() < needed;) blocks_.push_back(pool.allocate());
}

void BlockTable::share(BlockPool& pool, int32_t block) {
    pool_ = &pool;
    pool.retain(block);
    blocks_.push_back(block);
}

void BlockTable::replace(size_t i, int32_t block) {
    pool_->retain(block);
    pool_->release(blocks_[i]);
    blocks_[i] = block;
}

void BlockTable::clear() {
    for (auto block = blocks_.rbegin(); block != blocks_.rend(); ++block) pool_->release(*block);
    blocks_.clear();
}

}  // namespace dynexec
