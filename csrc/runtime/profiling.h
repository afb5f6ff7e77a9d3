// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include "runtime/paged_model.h"

namespace dynexec {

// Runs forward passes of 1 to 32 tokens once: the first pass of a shape compiles its kernels.
void warm_up(PagedModel& model);

// Times the same passes for PagedModel::cost_model(). Call warm_up() first.
void profile(PagedModel& model);

}  // namespace dynexec
