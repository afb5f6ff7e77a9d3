// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <memory>

#include "runtime/lookahead.h"

namespace dynexec {

// Always num_tokens.
std::unique_ptr<Lookahead> make_constant_lookahead(const LookaheadContext& context);

// transformers' heuristic: two more after a draft that was accepted whole, one less after any other; never below one.
// Carried over generate calls.
std::unique_ptr<Lookahead> make_heuristic_lookahead(const LookaheadContext& context);

// The same, starting from num_tokens in every generate call.
std::unique_ptr<Lookahead> make_transient_heuristic_lookahead(const LookaheadContext& context);

}  // namespace dynexec
