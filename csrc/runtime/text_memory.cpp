// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/text_memory.h"

#include <algorithm>

namespace dynexec {
namespace {

void append(SuffixAutomaton& automaton, const int64_t* tokens, size_t n) {
    SuffixAutomaton::State end = SuffixAutomaton::kRoot;
    for (size_t i = 0; i < n; ++i) end = automaton.append(end, tokens[i]);
}

}  // namespace

TextMemory::Automata TextMemory::texts(const std::string& scope) {
    Automata automata;
    const auto found = scopes_.find(scope);
    if (found != scopes_.end()) {
        found->second.last_use = ++uses_;
        for (const Part& part : found->second.parts) automata.push_back(part.automaton);
    }
    if (corpus_ != nullptr) automata.push_back(corpus_);
    return automata;
}

void TextMemory::add(const std::string& name, const int64_t* tokens, size_t n) {
    const size_t most_of_a_part = std::max<size_t>(1, most_tokens_ / kPartsOfAScope);
    // Of a text that is too long, the end.
    const size_t kept = std::min(n, most_of_a_part);
    Scope& scope = scopes_[name];
    scope.last_use = ++uses_;
    if (scope.parts.empty() || scope.parts.front().num_tokens + kept > most_of_a_part) scope.parts.emplace_front();
    Part& part = scope.parts.front();
    append(*part.automaton, tokens + n - kept, kept);
    part.num_tokens += kept;
    scope.num_tokens += kept;
    num_tokens_ += kept;
    forget();
}

void TextMemory::add_to_corpus(const int64_t* tokens, size_t n) {
    if (corpus_ == nullptr) corpus_ = std::make_shared<SuffixAutomaton>();
    append(*corpus_, tokens, n);
}

void TextMemory::forget_all() {
    scopes_.clear();
    num_tokens_ = 0;
}

void TextMemory::forget() {
    const auto waste = [this](const Scope& scope) { return scope.num_tokens * (uses_ - scope.last_use + 1); };
    while (num_tokens_ > most_tokens_) {
        const auto found = std::max_element(scopes_.begin(), scopes_.end(), [&](const auto& a, const auto& b) {
            return waste(a.second) < waste(b.second);
        });
        Scope& scope = found->second;
        scope.num_tokens -= scope.parts.back().num_tokens;
        num_tokens_ -= scope.parts.back().num_tokens;
        scope.parts.pop_back();
        if (scope.parts.empty()) scopes_.erase(found);
    }
}

}  // namespace dynexec
