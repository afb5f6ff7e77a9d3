// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

// Slow and obvious implementations in double precision, which tests and fuzzers compare the kernels with.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/isa.h"
#include "kernels/logits_processors.h"
#include "kernels/logits_stats.h"

namespace reference {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

inline std::vector<dynexec::Isa> supported_isas() {
    std::vector<dynexec::Isa> isas;
    for (const dynexec::Isa isa : {dynexec::Isa::kBaseline, dynexec::Isa::kAvx2, dynexec::Isa::kAvx512}) {
        if (dynexec::isa_supported(isa)) isas.push_back(isa);
    }
    return isas;
}

inline bool has_nan(const std::vector<float>& x) {
    return std::any_of(x.begin(), x.end(), [](float v) { return std::isnan(v); });
}

inline int64_t argmax(const std::vector<float>& x) {
    if (x.empty() || has_nan(x)) return -1;
    const auto it = std::max_element(x.begin(), x.end());  // the first of equal ones
    return *it == -kInf ? -1 : it - x.begin();
}

// Empty if the row has no distribution.
inline std::vector<double> softmax(const std::vector<float>& x) {
    const int64_t top = argmax(x);
    if (top < 0 || x[static_cast<size_t>(top)] == kInf) return {};
    const double max = x[static_cast<size_t>(top)];
    std::vector<double> p;
    for (const float v : x) p.push_back(std::exp(v - max));
    const double sum = std::accumulate(p.begin(), p.end(), 0.0);
    for (double& v : p) v /= sum;
    return p;
}

struct Stats {
    int64_t argmax;
    double max, logsumexp, max_prob, margin, entropy;
};

inline Stats logits_stats(const std::vector<float>& x) {
    const std::vector<double> p = softmax(x);
    if (p.empty()) return {-1, kNan, kNan, kNan, kNan, kNan};
    const int64_t top = argmax(x);
    const double max = x[static_cast<size_t>(top)];
    double sum = 0;
    for (const float v : x) sum += std::exp(v - max);
    double second = 0;
    double entropy = 0;
    for (size_t i = 0; i < x.size(); ++i) {
        if (static_cast<int64_t>(i) != top) second = std::max(second, p[i]);
        if (p[i] > 0) entropy -= p[i] * std::log(p[i]);
    }
    const double max_prob = p[static_cast<size_t>(top)];
    return {top, max, max + std::log(sum), max_prob, max_prob - second, entropy};
}

inline bool close(double actual, double expected, double relative, double absolute) {
    return std::fabs(actual - expected) <= absolute + relative * std::fabs(expected);
}

inline bool stats_agree(const dynexec::LogitsStats& actual, const std::vector<float>& x) {
    const Stats expected = logits_stats(x);
    if (actual.argmax != expected.argmax) return false;
    if (expected.argmax < 0) {
        return std::isnan(actual.max) && std::isnan(actual.logsumexp) && std::isnan(actual.max_prob) &&
               std::isnan(actual.margin) && std::isnan(actual.entropy);
    }
    // Unvectorised, up to 256 terms of a sum are added in float: 256 * 2^-24.
    constexpr double kTolerance = 2e-5;
    return static_cast<double>(actual.max) == expected.max &&
           close(actual.logsumexp, expected.logsumexp, 2e-7, kTolerance) &&
           close(actual.max_prob, expected.max_prob, kTolerance, 0) &&
           close(actual.margin, expected.margin, kTolerance, 1e-7) &&
           close(actual.entropy, expected.entropy, kTolerance, kTolerance);
}

// Whether a warper keeps a token. kEither: a sum lies so near the threshold that rounding decides.
enum class Fate { kKept, kRemoved, kEither };

// The warpers of transformers (generation/logits_process.py, 5.5), step by step, on a row that has been through the
// penalties and the temperature and has a distribution.
inline std::vector<Fate> warp(const std::vector<float>& x, const dynexec::LogitsParams& params) {
    const size_t n = x.size();
    std::vector<Fate> fate(n, Fate::kKept);
    std::vector<float> row = x;
    const auto remove = [&](size_t i) {
        fate[i] = Fate::kRemoved;
        row[i] = -kInf;
    };

    if (params.top_k > 0) {  // TopKLogitsWarper: scores < topk(scores, top_k)[-1]
        std::vector<float> sorted = row;
        std::sort(sorted.begin(), sorted.end(), std::greater<float>());
        const float threshold = sorted[std::min(params.top_k, n) - 1];
        for (size_t i = 0; i < n; ++i) {
            if (row[i] < threshold) remove(i);
        }
    }
    if (params.top_p < 1.0f) {  // TopPLogitsWarper: sort upwards, remove while cumsum(softmax) <= 1 - top_p
        const std::vector<double> p = softmax(row);
        std::vector<size_t> order(n);
        std::iota(order.begin(), order.end(), size_t{0});
        std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
            return row[a] < row[b] || (row[a] == row[b] && a > b);  // of equal ones, the lowest index stays longest
        });
        const double threshold = 1.0 - static_cast<double>(params.top_p);
        double cumulative = 0;
        for (size_t rank = 0; rank + 1 < n; ++rank) {
            const size_t i = order[rank];
            cumulative += p[i];
            if (row[i] == -kInf) continue;
            if (std::fabs(cumulative - threshold) < 1e-5) {
                fate[i] = Fate::kEither;
            } else if (cumulative <= threshold) {
                remove(i);
            }
        }
    }
    if (params.min_p > 0.0f) {  // MinPLogitsWarper: probs < min_p * max(probs)
        const float max = *std::max_element(row.begin(), row.end());
        for (size_t i = 0; i < n; ++i) {
            if (row[i] == -kInf) continue;
            const double ratio = std::exp(static_cast<double>(row[i]) - max);
            const double threshold = params.min_p;
            if (std::fabs(ratio - threshold) < 1e-5 * threshold) {
                fate[i] = Fate::kEither;
            } else if (ratio < threshold) {
                remove(i);
            }
        }
    }
    return fate;
}

// True if `warped` is what the warpers of `params` make of `x`.
inline bool warp_agrees(const std::vector<float>& warped, const std::vector<float>& x,
                        const dynexec::LogitsParams& params) {
    const std::vector<Fate> fate = warp(x, params);
    for (size_t i = 0; i < x.size(); ++i) {
        const bool kept = warped[i] == x[i];
        const bool removed = warped[i] == -kInf;
        if (!(fate[i] == Fate::kKept ? kept : fate[i] == Fate::kRemoved ? removed : kept || removed)) return false;
    }
    return true;
}

// Position after the latest earlier occurrence of the longest suffix of at most `max_ngram` tokens, and its length.
struct Match {
    size_t length, next;
};

inline Match longest_match(const std::vector<int64_t>& tokens, size_t max_ngram) {
    Match best{0, 0};
    for (size_t end = tokens.size(); end-- > 1;) {
        size_t length = 0;
        while (length < std::min(end, max_ngram) && tokens[end - 1 - length] == tokens[tokens.size() - 1 - length]) {
            ++length;
        }
        if (length > best.length) best = {length, end};
    }
    return best;
}

}  // namespace reference
