// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels/suffix_automaton.h"

namespace dynexec {

// Texts of earlier requests, from which later requests draft. Each scope, for example a tenant, has its own: a text of
// one scope is never seen by another. The memory is bounded: where there is no more room, the scope with the largest
// product of size and idle time forgets its oldest texts, so that a busy tenant does not crowd out a quiet one.
class TextMemory {
public:
    static constexpr size_t kMostTokens = 1 << 18;  // about 60 MB

    explicit TextMemory(size_t most_tokens = kMostTokens) : most_tokens_(most_tokens) {}

    using Automata = std::vector<std::shared_ptr<const SuffixAutomaton>>;
    // The texts of `scope`, the newest first, then the corpus. They may grow while they are used, and outlive this
    // memory.
    Automata texts(const std::string& scope);
    void add(const std::string& scope, const int64_t* tokens, size_t n);
    // Adds a text for all scopes, which is never forgotten and does not count.
    void add_to_corpus(const int64_t* tokens, size_t n);
    // Forgets the texts of all scopes.
    void forget_all();

    size_t num_tokens() const { return num_tokens_; }

private:
    // An automaton forgets nothing, so a scope has several of them, and forgets one.
    static constexpr size_t kPartsOfAScope = 8;
    struct Part {
        std::shared_ptr<SuffixAutomaton> automaton = std::make_shared<SuffixAutomaton>();
        size_t num_tokens = 0;
    };
    struct Scope {
        std::deque<Part> parts;  // the newest first
        size_t num_tokens = 0;
        uint64_t last_use = 0;
    };
    void forget();

    size_t most_tokens_;
    size_t num_tokens_ = 0;
    uint64_t uses_ = 0;
    std::map<std::string, Scope> scopes_;
    std::shared_ptr<SuffixAutomaton> corpus_;  // may be null
};

}  // namespace dynexec
