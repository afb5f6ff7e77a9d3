// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/isa.h"

namespace dynexec {

// Smallest argument whose exponential is a normal float: log(FLT_MIN) rounded towards zero.
constexpr float kExpMin = -87.3365402f;

// exp(x) for x <= 0, branch-free so that loops over it vectorise (libm's does not without -ffast-math).
// Range reduction and polynomial are those of Cephes expf. 0 below kExpMin (so denormal results are flushed),
// NaN stays NaN.
DYNEXEC_INLINE float exp_nonpositive(float x) {
    constexpr float kLog2E = 1.44269504088896341f;
    constexpr float kLn2High = 0.693359375f;
    constexpr float kLn2Low = -2.12194440e-4f;
    constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves the rounded integer in the low mantissa bits

    const float shifted = x * kLog2E + kRound;
    const float n = shifted - kRound;
    const float r = (x - n * kLn2High) - n * kLn2Low;
    float y = 1.9875691500e-4f;
    y = y * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * r * r + r + 1.0f;

    uint32_t bits;
    std::memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127u) << 23;  // 2^n
    float scale;
    std::memcpy(&scale, &bits, sizeof scale);
    return x < kExpMin ? 0.0f : y * scale;
}

}  // namespace dynexec
