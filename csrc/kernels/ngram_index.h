// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dynexec {

// Incremental index of all n-grams, 1 <= n <= max_ngram, of one growing token sequence, for prompt lookup decoding
// (https://github.com/apoorvumang/prompt-lookup-decoding). append() and longest_match() look up O(max_ngram) n-grams,
// whatever the length of the sequence. Hits are compared token by token, so there are no false matches.
class NGramIndex {
public:
    explicit NGramIndex(size_t max_ngram);  // throws std::invalid_argument unless 1 <= max_ngram <= 64

    void append(int64_t token);
    void append(const int64_t* tokens, size_t n);

    struct Match {
        size_t length = 0;  // tokens of the suffix that occurred before; 0: nothing matched
        size_t next = 0;    // position of the token that followed the latest such occurrence
    };
    // Longest suffix (at most max_ngram tokens) that occurred earlier, at its latest earlier occurrence.
    Match longest_match() const;

    // Overwrites `out` with the `k` tokens that followed `match`, or with none if its length is 0. If the copy reaches
    // the end of the sequence, it continues with the tokens that it has itself proposed, so a period shorter than k is
    // continued.
    void propose(const Match& match, size_t k, std::vector<int64_t>& out) const;

    const std::vector<int64_t>& tokens() const { return tokens_; }

private:
    struct Slot {
        uint64_t hash = 0;
        uint32_t end = 0;  // position one past the n-gram's latest occurrence; 0: empty slot
        uint32_t length = 0;
    };
    // Slot of the last `length` tokens, or the empty slot where they would go.
    size_t find(uint64_t hash, size_t length) const;
    void grow();

    size_t max_ngram_;
    size_t used_ = 0;
    std::vector<int64_t> tokens_;
    std::vector<Slot> slots_;  // open addressing, power of two, load below one half
};

}  // namespace dynexec
