// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/prefix_cache.h"

#include <stdexcept>

namespace dynexec {

PrefixCache::PrefixCache(BlockPool& pool) : pool_(pool) { pool_.attach(this); }

PrefixCache::~PrefixCache() {
    clear();
    pool_.attach(nullptr);
}

size_t PrefixCache::find(const std::string& salt, const int64_t* tokens, size_t n, Place& place, BlockTable& table) {
    const size_t size = pool_.block_size();
    place = {};
    const auto root = roots_.find(salt);
    if (root == roots_.end()) return 0;
    Node* node = &root->second;
    ++uses_;
    for (size_t end = size; end <= n; end += size) {
        const auto child = node->children.find(Tokens(tokens + end - size, tokens + end));
        if (child == node->children.end()) break;
        node = child->second.get();
        table.share(pool_, node->block);
        node->last_use = uses_;
        place = {node, place.blocks + 1};
    }
    return place.blocks * size;
}

void PrefixCache::keep(const std::string& salt, const int64_t* tokens, size_t n, Place& place, BlockTable& table) {
    const size_t size = pool_.block_size();
    while ((place.blocks + 1) * size <= n) {
        if (place.blocks == 0) {
            const auto root = roots_.try_emplace(salt).first;
            root->second.salt = &root->first;
            place.node = &root->second;
        }
        const int64_t* const begin = tokens + place.blocks * size;
        const auto [child, is_new] = place.node->children.try_emplace(Tokens(begin, begin + size));
        if (is_new) {
            child->second = std::make_unique<Node>();
            Node& made = *child->second;
            made.block = table.blocks()[place.blocks];
            made.parent = place.node;
            made.tokens = &child->first;
            nodes_[made.block] = &made;
        } else if (child->second->block != table.blocks()[place.blocks]) {
            table.replace(place.blocks, child->second->block);
        }
        place = {child->second.get(), place.blocks + 1};
        place.node->last_use = ++uses_;
    }
}

void PrefixCache::used(int32_t block) {
    Node& node = *nodes_.at(block);
    leaves_.erase({node.last_use, &node});
    node.idle = false;
    --num_idle_;
}

bool PrefixCache::keeps(int32_t block) {
    const auto found = nodes_.find(block);
    if (found == nodes_.end()) return false;
    Node& node = *found->second;
    node.idle = true;
    ++num_idle_;
    if (node.children.empty()) leaves_.insert({node.last_use, &node});
    return true;
}

int32_t PrefixCache::evict() {
    if (leaves_.empty()) throw std::logic_error("PrefixCache: no block is idle");
    Node& node = *leaves_.begin()->second;
    leaves_.erase(leaves_.begin());
    const int32_t block = node.block;
    Node& parent = *node.parent;
    nodes_.erase(block);
    --num_idle_;
    parent.children.erase(parent.children.find(*node.tokens));
    if (!parent.children.empty()) return block;
    if (parent.salt != nullptr) {
        roots_.erase(roots_.find(*parent.salt));
    } else if (parent.idle) {
        leaves_.insert({parent.last_use, &parent});
    }
    return block;
}

void PrefixCache::clear() {
    while (!leaves_.empty()) pool_.give_back(evict());
}

}  // namespace dynexec
