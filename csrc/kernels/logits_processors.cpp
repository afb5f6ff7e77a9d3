// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "kernels/logits_processors.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "kernels/block_max.h"
#include "kernels/exp.h"
#include "kernels/isa.h"
#include "kernels/logits_processors_isa.h"

namespace dynexec {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kLowest = std::numeric_limits<float>::lowest();

// Negative ids wrap round to huge ones.
bool in_vocab(int64_t token, size_t vocab) { return static_cast<uint64_t>(token) < vocab; }

void apply_penalties(float* logits, size_t vocab, const LogitsParams& params, const TokenCounts& counts) {
    const float repetition = params.repetition_penalty;
    if (repetition != 1.0f) {
        for (const auto& item : counts.items()) {
            if (!in_vocab(item.first, vocab)) continue;
            float& logit = logits[item.first];
            logit = logit < 0 ? logit * repetition : logit / repetition;
        }
    }
    if (params.presence_penalty != 0.0f || params.frequency_penalty != 0.0f) {
        for (const auto& item : counts.items()) {
            if (!in_vocab(item.first, vocab) || item.second.generated == 0) continue;
            const float occurrences = static_cast<float>(item.second.generated);
            logits[item.first] -= params.presence_penalty + params.frequency_penalty * occurrences;
        }
    }
    if (counts.generated() < params.min_new_tokens) {
        for (const int64_t token : params.eos_token_ids) {
            if (in_vocab(token, vocab)) logits[token] = -kInf;
        }
    }
}

// The warpers keep few of many tokens. A cheap pass over the row finds a lower bound of the logits that can survive;
// the exact rules then run on the few candidates above it.

struct Candidate {
    float logit;
    size_t index;
};

// The order in which tokens are kept. Which of several equal logits stay is undefined in transformers (torch.sort is
// not stable); here the lowest indices do, as in argmax.
bool better(const Candidate& a, const Candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.index < b.index);
}

struct Scratch {
    std::vector<float> block_max;
    std::vector<float> order;
    std::vector<Candidate> candidates;
};

constexpr size_t kBlock = 64;

struct RowMax {
    float max;
    bool nan;
};

// Divides by the temperature and writes the maximum of each block.
DYNEXEC_INLINE RowMax scale_body(float* x, size_t n, float temperature, float* maxima) {
    RowMax row{-kInf, false};
    for (size_t begin = 0; begin < n; begin += kBlock) {
        float* const block = x + begin;
        const size_t size = std::min(kBlock, n - begin);
#pragma omp simd
        for (size_t i = 0; i < size; ++i) block[i] /= temperature;
        row.nan = row.nan || block_has_nan(block, size);
        const float max = block_max(block, size);
        *maxima++ = max;
        row.max = std::max(row.max, max);
    }
    return row;
}

DYNEXEC_INLINE double exp_sum_body(const float* x, size_t n, float max) {
    constexpr size_t kSumBlock = 256;  // float within, double across blocks
    double total = 0;
    for (size_t begin = 0; begin < n; begin += kSumBlock) {
        const float* const block = x + begin;
        const size_t size = std::min(kSumBlock, n - begin);
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (size_t i = 0; i < size; ++i) sum += exp_nonpositive(block[i] - max);
        total += sum;
    }
    return total;
}

// k blocks reach the k-th largest block maximum, so k logits do.
float top_k_bound(size_t k, Scratch& scratch) {
    if (scratch.block_max.size() < k) return kLowest;
    scratch.order = scratch.block_max;
    const auto kth = scratch.order.begin() + (k - 1);
    std::nth_element(scratch.order.begin(), kth, scratch.order.end(), std::greater<float>());
    return *kth;
}

void collect(const float* x, size_t n, float bound, Scratch& scratch) {
    bound = std::max(bound, kLowest);  // -inf is no candidate
    scratch.candidates.clear();
    for (size_t b = 0; b < scratch.block_max.size(); ++b) {
        if (scratch.block_max[b] < bound) continue;
        for (size_t i = b * kBlock; i < std::min(n, (b + 1) * kBlock); ++i) {
            if (x[i] >= bound) scratch.candidates.push_back({x[i], i});
        }
    }
}

void keep_top_k(std::vector<Candidate>& candidates, size_t k) {
    if (candidates.size() <= k) return;
    const auto kth = candidates.begin() + (k - 1);
    std::nth_element(candidates.begin(), kth, candidates.end(), better);
    const float threshold = kth->logit;
    candidates.erase(
        std::remove_if(kth + 1, candidates.end(), [threshold](const Candidate& c) { return c.logit < threshold; }),
        candidates.end());
}

double mass(const Candidate& c, double max) { return std::exp(c.logit - max); }

// Keeps a token while the mass of the tokens before it is below `target`, and always the first token. A binary search
// by partial sorts: each step decides half of the remaining candidates, so the total time is linear in the candidates.
void keep_top_p(std::vector<Candidate>& candidates, double max, double target) {
    auto begin = candidates.begin();  // all before `begin` are kept
    auto end = candidates.end();      // none from `end` on is
    double before = 0;                // mass before `begin`
    while (end - begin > 32) {
        const auto middle = begin + (end - begin) / 2;
        std::nth_element(begin, middle, end, better);
        double upper = 0;
        for (auto it = begin; it != middle; ++it) upper += mass(*it, max);
        if (before + upper < target) {
            before += upper;
            begin = middle;
        } else {
            end = middle;
        }
    }
    std::sort(begin, end, better);
    while (begin != end && (before < target || begin == candidates.begin())) before += mass(*begin++, max);
    candidates.erase(begin, candidates.end());
}

DYNEXEC_MULTIVERSION(RowMax, scale, (float* x, size_t n, float temperature, float* maxima), scale_body,
                     (x, n, temperature, maxima))
DYNEXEC_MULTIVERSION(double, exp_sum, (const float* x, size_t n, float max), exp_sum_body, (x, n, max))

void apply_warpers(Isa isa, float* logits, size_t vocab, const LogitsParams& params) {
    const bool use_top_k = params.top_k > 0 && params.top_k < vocab;
    const bool use_top_p = params.top_p < 1.0f;
    const bool use_min_p = params.min_p > 0.0f;
    if (params.temperature == 1.0f && !use_top_k && !use_top_p && !use_min_p) return;

    thread_local Scratch scratch;
    scratch.block_max.resize((vocab + kBlock - 1) / kBlock);
    const RowMax row = scale_variant(isa)(logits, vocab, params.temperature, scratch.block_max.data());
    if (!use_top_k && !use_top_p && !use_min_p) return;
    if (row.nan || !(std::fabs(row.max) < kInf)) return;  // no distribution; softmax reports it

    std::vector<Candidate>& candidates = scratch.candidates;
    const double top_p = params.top_p;
    const float log_min_p = use_min_p ? std::log(params.min_p) : -kInf;
    double total = 0;
    if (use_top_k) {
        collect(logits, vocab, top_k_bound(params.top_k, scratch), scratch);
        keep_top_k(candidates, params.top_k);
        if (use_top_p) {
            for (const Candidate& c : candidates) total += mass(c, row.max);
        }
    } else if (use_top_p) {
        total = exp_sum_variant(isa)(logits, vocab, row.max);
        // All tokens with a mass up to (1 - top_p) * total / vocab fit into the tail together. 0.99: room for
        // rounding.
        const double tail = 0.99 * (1.0 - top_p) * total / static_cast<double>(vocab);
        collect(logits, vocab, static_cast<float>(row.max + std::log(tail)), scratch);
    } else {
        collect(logits, vocab, row.max + log_min_p, scratch);
    }
    if (use_top_p) keep_top_p(candidates, row.max, top_p * total);

    std::fill(logits, logits + vocab, -kInf);
    for (const Candidate& c : candidates) {
        if (c.logit - row.max >= log_min_p) logits[c.index] = c.logit;
    }
}

}  // namespace

bool LogitsParams::is_identity() const {
    return !do_sample && repetition_penalty == 1.0f && presence_penalty == 0.0f && frequency_penalty == 0.0f &&
           (min_new_tokens == 0 || eos_token_ids.empty());
}

void process_logits(Isa isa, float* logits, size_t vocab, const LogitsParams& params, const TokenCounts& counts) {
    apply_penalties(logits, vocab, params, counts);
    if (params.do_sample) apply_warpers(isa, logits, vocab, params);
}

void process_logits(float* logits, size_t vocab, const LogitsParams& params, const TokenCounts& counts) {
    process_logits(best_isa(), logits, vocab, params, counts);
}

}  // namespace dynexec
