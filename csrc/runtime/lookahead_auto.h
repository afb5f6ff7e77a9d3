// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <memory>

#include "runtime/lookahead.h"

namespace dynexec {

// The draft lengths that give the most expected tokens per second, from the measured time of a verification of n
// tokens, the time to draft and running acceptance estimates. No draft at all is one of the choices, so a text in which
// nothing can be guessed is decoded plainly. num_tokens is the longest draft it may choose.
//
// A forward pass of another size than the one before costs extra (CostModel::switch_seconds), so sizes are worth
// keeping. This is a Markov decision problem with average reward: with t seconds per token in the long run, a step of
// cost c that gives n tokens loses c - t n, and being left at a size that is not the best one loses some more. Each
// step takes the size that loses least. Where there is less to propose than the size has room for, the pass is padded.
std::unique_ptr<Lookahead> make_auto_lookahead(const LookaheadContext& context);

}  // namespace dynexec
