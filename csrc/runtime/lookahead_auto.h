// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <memory>

#include "runtime/lookahead.h"

namespace dynexec {

// The draft lengths that maximise expected tokens per second: (expected tokens of the step) / (measured time of the
// verification + time to draft). No draft at all is one of the choices, so a text in which nothing can be guessed is
// decoded plainly. num_tokens is the longest draft it may choose.
std::unique_ptr<Lookahead> make_auto_lookahead(const LookaheadContext& context);

}  // namespace dynexec
