// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <stdexcept>

#include "kernels/logits_processors.h"

namespace dynexec {

void TokenCounts::add_prompt(const int64_t* tokens, size_t n) {
    for (size_t i = 0; i < n; ++i) counts_[tokens[i]].in_prompt = true;
}

void TokenCounts::push(int64_t token) {
    ++counts_[token].generated;
    ++generated_;
}

void TokenCounts::pop(int64_t token) {
    const auto it = counts_.find(token);
    if (it == counts_.end() || it->second.generated == 0) throw std::logic_error("TokenCounts::pop: token not pushed");
    --it->second.generated;
    --generated_;
    if (it->second.generated == 0 && !it->second.in_prompt) counts_.erase(it);
}

}  // namespace dynexec
