// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>

namespace dynexec {

// Numbers of rows of passes that are used again and again. The first pass of another number takes half as long again,
// because its kernels are made.
inline constexpr size_t kRowCounts[] = {1, 2, 4, 6, 8, 12, 16, 24, 32, 48, 64, 80, 96, 112, 128};
// The largest of them whose time is measured when a model is loaded.
inline constexpr size_t kMostTimedRows = 32;

}  // namespace dynexec
