// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <cmath>

#include "check.h"
#include "encoder/pass_times.h"

using dynexec::PassTimes;

namespace {

bool close(double a, double b) { return std::abs(a - b) <= 1e-9 * std::abs(b); }

}  // namespace

TEST(nothing_is_known_at_first) { CHECK(PassTimes().estimate(100) == 0.0); }

TEST(in_proportion_to_the_size) {
    PassTimes times;
    times.saw(64, 0.064);
    CHECK(close(times.estimate(64), 0.064));
    CHECK(close(times.estimate(640), 0.64));
    CHECK(close(times.estimate(16), 0.016));
    CHECK(close(times.estimate(0), 0.001));
}

TEST(the_nearest_size_counts) {
    PassTimes times;
    times.saw(1, 0.010);     // 10 ms a place
    times.saw(1024, 1.024);  // 1 ms
    CHECK(close(times.estimate(3), 0.030));
    CHECK(close(times.estimate(700), 0.700));
}

TEST(the_first_pass_makes_kernels) {
    PassTimes times;
    times.saw(8, 1.0);
    times.saw(8, 0.008);
    CHECK(close(times.estimate(8), 0.008));
    // Later passes count a quarter, in both directions.
    times.saw(8, 0.016);
    CHECK(close(times.estimate(8), 0.010));
    times.saw(8, 0.002);
    CHECK(close(times.estimate(8), 0.008));
}

TEST(doubt_brings_back_what_was_once_slow) {
    PassTimes times;
    times.saw(8, 1.0);
    int refused = 0;
    for (; times.estimate(8) > 0.5 && refused < 1000; ++refused) times.doubt(8);
    CHECK(refused > 10);
    CHECK(refused < 1000);
    PassTimes().doubt(8);
}
