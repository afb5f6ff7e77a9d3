// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/lookahead.h"

#include "kernels/registry.h"

// One line for each lookahead: a file lookahead_*.cpp defines make_<name>_lookahead(const LookaheadContext&).
#define DYNEXEC_LOOKAHEADS(LOOKAHEAD) \
    LOOKAHEAD(auto)                   \
    LOOKAHEAD(constant)               \
    LOOKAHEAD(disco)                  \
    LOOKAHEAD(heuristic)              \
    LOOKAHEAD(heuristic_transient)

namespace dynexec {

using Lookaheads = Registry<Lookahead, const LookaheadContext&>;

#define DECLARE(name) Lookaheads::Factory make_##name##_lookahead;
DYNEXEC_LOOKAHEADS(DECLARE)
#undef DECLARE

namespace {

const Lookaheads& registry() {
#define ENTRY(name) {#name, make_##name##_lookahead},
    static const Lookaheads lookaheads("lookahead schedule", {DYNEXEC_LOOKAHEADS(ENTRY)});
#undef ENTRY
    return lookaheads;
}

}  // namespace

std::vector<std::string> lookahead_names() { return registry().names(); }

std::unique_ptr<Lookahead> make_lookahead(const std::string& name, const LookaheadContext& context) {
    return registry().make(name, context);
}

}  // namespace dynexec
