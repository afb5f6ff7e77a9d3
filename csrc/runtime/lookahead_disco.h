// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <memory>

#include "runtime/lookahead.h"

namespace dynexec {

// Up to num_tokens; heads end a draft by their stop classifier (DISCO, arXiv 2405.04304).
std::unique_ptr<Lookahead> make_disco_lookahead(const LookaheadContext& context);

}  // namespace dynexec
