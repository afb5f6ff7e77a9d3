// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

// Pearson's goodness-of-fit test at a false alarm rate near 1e-6. Seeds are fixed, so a test either always passes or
// never does. A token of probability 0 must not occur at all.
inline bool chi_square_accepts(const std::vector<uint64_t>& observed, const std::vector<double>& probabilities) {
    const double total = static_cast<double>(std::accumulate(observed.begin(), observed.end(), uint64_t{0}));
    double statistic = 0;
    double cells = 0;
    double rare_observed = 0;  // cells that expect fewer than 5 are pooled
    double rare_expected = 0;
    const auto add_cell = [&](double count, double expected) {
        statistic += (count - expected) * (count - expected) / expected;
        ++cells;
    };
    for (size_t i = 0; i < observed.size(); ++i) {
        const double count = static_cast<double>(observed[i]);
        const double expected = total * probabilities[i];
        if (expected == 0 && count > 0) return false;
        if (expected < 5) {
            rare_observed += count;
            rare_expected += expected;
        } else {
            add_cell(count, expected);
        }
    }
    if (rare_expected > 1) add_cell(rare_observed, rare_expected);
    if (cells < 2) return true;
    // Quantile of chi-square by Wilson and Hilferty's cube.
    const double degrees = cells - 1;
    const double z = 4.75;
    const double cube = 1 - 2 / (9 * degrees) + z * std::sqrt(2 / (9 * degrees));
    return statistic < degrees * cube * cube * cube;
}

inline std::vector<double> normalised(const std::vector<float>& weights) {
    const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
    std::vector<double> p;
    for (const float w : weights) p.push_back(w / sum);
    return p;
}
