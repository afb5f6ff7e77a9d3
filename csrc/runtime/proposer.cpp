// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/proposer.h"

#include "kernels/registry.h"

// One line for each proposer. Its own file defines make_<name>_proposer(const ProposerParams&, const
// ProposerContext&).
#define DYNEXEC_PROPOSERS(PROPOSER) \
    PROPOSER(draft_head)            \
    PROPOSER(draft_model)           \
    PROPOSER(exit_heads)            \
    PROPOSER(forced_tokens)         \
    PROPOSER(prompt_lookup)         \
    PROPOSER(suffix)

namespace dynexec {

using Proposers = Registry<Proposer, const ProposerParams&, const ProposerContext&>;

#define DECLARE(name) Proposers::Factory make_##name##_proposer;
DYNEXEC_PROPOSERS(DECLARE)
#undef DECLARE

namespace {

const Proposers& registry() {
#define ENTRY(name) {#name, make_##name##_proposer},
    static const Proposers proposers("proposer", {DYNEXEC_PROPOSERS(ENTRY)});
#undef ENTRY
    return proposers;
}

}  // namespace

std::vector<std::string> proposer_names() { return registry().names(); }

std::unique_ptr<Proposer> make_proposer(const ProposerParams& params, const ProposerContext& context) {
    return registry().make(params.name, params, context);
}

}  // namespace dynexec
