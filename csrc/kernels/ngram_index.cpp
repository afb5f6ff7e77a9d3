// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "kernels/ngram_index.h"

#include <algorithm>
#include <stdexcept>

namespace dynexec {
namespace {

// Hash of an n-gram from that of the n-gram without its first token.
uint64_t extend_left(uint64_t hash, int64_t token) {
    hash = (hash ^ static_cast<uint64_t>(token)) * 0x9e3779b97f4a7c15u;
    return hash ^ (hash >> 32);
}

constexpr uint64_t kEmptyHash = 0x243f6a8885a308d3u;

}  // namespace

NGramIndex::NGramIndex(size_t max_ngram) : max_ngram_(max_ngram), slots_(64) {
    if (max_ngram < 1 || max_ngram > 64) throw std::invalid_argument("max_ngram must be between 1 and 64");
}

size_t NGramIndex::find(uint64_t hash, size_t length) const {
    const int64_t* const ngram = tokens_.data() + (tokens_.size() - length);
    const size_t mask = slots_.size() - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        const Slot& slot = slots_[i];
        if (slot.end == 0) return i;
        if (slot.hash == hash && slot.length == length &&
            std::equal(ngram, ngram + length, tokens_.data() + (slot.end - length))) {
            return i;
        }
    }
}

void NGramIndex::grow() {
    std::vector<Slot> slots(slots_.size() * 2);
    const size_t mask = slots.size() - 1;
    for (const Slot& slot : slots_) {
        if (slot.end == 0) continue;
        size_t i = slot.hash & mask;
        while (slots[i].end != 0) i = (i + 1) & mask;
        slots[i] = slot;
    }
    slots_.swap(slots);
}

void NGramIndex::append(int64_t token) {
    const size_t end = tokens_.size();
    uint64_t hash = kEmptyHash;
    // The n-grams at the end of the sequence have a following token only now, so they are added only now.
    for (size_t length = 1; length <= std::min(max_ngram_, end); ++length) {
        hash = extend_left(hash, tokens_[end - length]);
        Slot& slot = slots_[find(hash, length)];
        const bool is_new = slot.end == 0;
        slot = {hash, static_cast<uint32_t>(end), static_cast<uint32_t>(length)};
        if (is_new && ++used_ * 2 >= slots_.size()) grow();
    }
    tokens_.push_back(token);
}

void NGramIndex::append(const int64_t* tokens, size_t n) {
    for (size_t i = 0; i < n; ++i) append(tokens[i]);
}

NGramIndex::Match NGramIndex::longest_match() const {
    Match match;
    uint64_t hash = kEmptyHash;
    // A suffix that did not occur before cannot be part of a longer one that did.
    for (size_t length = 1; length <= std::min(max_ngram_, tokens_.size()); ++length) {
        hash = extend_left(hash, tokens_[tokens_.size() - length]);
        const Slot& slot = slots_[find(hash, length)];
        if (slot.end == 0) break;
        match = {length, slot.end};
    }
    return match;
}

void NGramIndex::propose(const Match& match, size_t k, std::vector<int64_t>& out) const {
    out.clear();
    if (match.length == 0 || match.next >= tokens_.size()) return;
    for (size_t i = 0; i < k; ++i) {
        const size_t source = match.next + i;
        out.push_back(source < tokens_.size() ? tokens_[source] : out[source - tokens_.size()]);
    }
}

}  // namespace dynexec
