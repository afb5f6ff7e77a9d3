// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <set>

#include "check.h"
#include "chi_square.h"
#include "kernels/sampling.h"

using namespace dynexec;

TEST(uniform_is_in_range_and_uniform) {
    Rng rng(1, 0);
    std::vector<uint64_t> bins(64);
    for (int i = 0; i < 200000; ++i) {
        const double u = rng.uniform();
        CHECK(u >= 0.0 && u < 1.0);
        ++bins[static_cast<size_t>(u * 64)];
    }
    CHECK(chi_square_accepts(bins, std::vector<double>(64, 1.0 / 64)));
}

TEST(streams_are_reproducible_and_distinct) {
    Rng a(7, 3);
    Rng b(7, 3);
    for (int i = 0; i < 100; ++i) CHECK(a.uniform() == b.uniform());
    std::set<double> first;
    for (uint64_t seed = 0; seed < 20; ++seed) {
        for (uint64_t stream = 0; stream < 20; ++stream) first.insert(Rng(seed, stream).uniform());
    }
    first.insert(Rng(uint64_t{1} << 32, 0).uniform());  // the high halves count too
    first.insert(Rng(0, uint64_t{1} << 32).uniform());
    CHECK(first.size() == 402);
}

TEST(draws_follow_the_weights) {
    Rng rng(2, 0);
    // Unnormalised, with zeros in front, inside and at the end; then across many blocks.
    std::vector<float> weights = {0.0f, 3.0f, 1.0f, 0.0f, 0.5f, 2.0f, 0.0f};
    for (const size_t stretch : {1, 1000}) {
        std::vector<float> row(weights.size() * stretch);
        for (size_t i = 0; i < weights.size(); ++i) row[i * stretch + stretch / 2] = weights[i];
        std::vector<uint64_t> bins(weights.size());
        for (int i = 0; i < 50000; ++i) {
            const int64_t drawn = sample(row.data(), row.size(), rng);
            CHECK(drawn >= 0 && row[static_cast<size_t>(drawn)] > 0);
            ++bins[static_cast<size_t>(drawn) / stretch];
        }
        CHECK(chi_square_accepts(bins, normalised(weights)));
    }
}

TEST(edge_weights) {
    Rng rng(3, 0);
    CHECK(sample(nullptr, 0, rng) == -1);
    const std::vector<float> zeros(1000, 0.0f);
    CHECK(sample(zeros.data(), zeros.size(), rng) == -1);
    for (const float weight : {1e-45f, 1e-30f, 1.0f, 3e38f}) {
        for (const size_t position : {0, 1, 255, 256, 999}) {
            std::vector<float> one(1000, 0.0f);
            one[position] = weight;
            for (int i = 0; i < 20; ++i) CHECK(sample(one.data(), 1000, rng) == static_cast<int64_t>(position));
        }
    }
    const std::vector<float> huge(1000, 3e38f);  // the sum overflows a float, not a double
    std::set<int64_t> seen;
    for (int i = 0; i < 1000; ++i) seen.insert(sample(huge.data(), huge.size(), rng));
    CHECK(seen.size() > 400 && *seen.begin() >= 0);
}
