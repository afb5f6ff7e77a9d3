// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <unordered_map>
#include <utility>

#include "runtime/sequence.h"

namespace dynexec {

// What a part of the decode loop keeps for each sequence, from the first use until release(). States do not move.
template <typename State>
class PerSequence {
public:
    // Made from `arguments` if there is none yet.
    template <typename... Arguments>
    State& get(const Sequence& sequence, Arguments&&... arguments) {
        return states_.try_emplace(&sequence, std::forward<Arguments>(arguments)...).first->second;
    }
    // nullptr if there is none.
    State* find(const Sequence& sequence) {
        const auto found = states_.find(&sequence);
        return found == states_.end() ? nullptr : &found->second;
    }
    // Throws std::out_of_range if there is none.
    const State& at(const Sequence& sequence) const { return states_.at(&sequence); }
    State& at(const Sequence& sequence) { return states_.at(&sequence); }
    void release(const Sequence& sequence) { states_.erase(&sequence); }

private:
    std::unordered_map<const Sequence*, State> states_;
};

}  // namespace dynexec
