// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <random>

#include "check.h"
#include "chi_square.h"
#include "kernels/verification.h"

using namespace dynexec;

namespace {

using Probs = std::vector<float>;

Probs scaled(Probs weights) {
    const std::vector<double> p = normalised(weights);
    for (size_t i = 0; i < p.size(); ++i) weights[i] = static_cast<float>(p[i]);
    return weights;
}

struct Outcome {
    std::vector<uint64_t> tokens;
    double acceptance;
};

// Proposes from q, or always `fixed` if q is empty, verifies with `rule`, and counts what comes out.
template <typename Rule>
Outcome simulate(Rule rule, const Probs& p, const Probs& q, int64_t fixed, int draws) {
    Rng rng(11, 0);
    Outcome outcome{std::vector<uint64_t>(p.size()), 0};
    for (int i = 0; i < draws; ++i) {
        const int64_t proposed = q.empty() ? fixed : sample(q.data(), q.size(), rng);
        const Decision decision = rule(proposed, p.data(), q.empty() ? nullptr : q.data(), p.size(), rng);
        CHECK(!decision.accepted || decision.token == proposed);
        if (decision.token < 0 || static_cast<size_t>(decision.token) >= p.size()) {
            CHECK(false);
            return outcome;
        }
        ++outcome.tokens[static_cast<size_t>(decision.token)];
        outcome.acceptance += decision.accepted ? 1.0 / draws : 0.0;
    }
    return outcome;
}

constexpr int kDraws = 100000;

struct Case {
    Probs p, q;
    int64_t fixed;
};

std::vector<Case> cases() {
    const Probs flat(8, 0.125f);
    const Probs sharp = scaled({100, 1, 1, 1, 1, 1, 1, 1});
    const Probs other_sharp = scaled({1, 1, 1, 100, 1, 1, 1, 1});
    const Probs truncated = scaled({0, 5, 0, 3, 0, 0, 2, 0});
    std::vector<Case> all = {{flat, sharp, 0},
                             {sharp, flat, 0},
                             {sharp, other_sharp, 0},
                             {sharp, sharp, 0},
                             {truncated, flat, 0},
                             {flat, truncated, 0},
                             {truncated, sharp, 0},
                             {sharp, {}, 0},
                             {sharp, {}, 3},
                             {flat, {}, 7},
                             {truncated, {}, 0},
                             {truncated, {}, 1},
                             {{1, 0, 0}, {0, 1, 0}, 0},
                             {{0, 1, 0}, {0, 1, 0}, 0}};
    std::mt19937_64 engine(6);
    std::gamma_distribution<float> gamma(0.7f);
    for (int i = 0; i < 6; ++i) {
        Probs p(40);
        Probs q(40);
        for (float& v : p) v = gamma(engine);
        for (float& v : q) v = gamma(engine);
        all.push_back({scaled(p), scaled(q), 0});
    }
    return all;
}

double expected_acceptance(const Case& c) {
    if (c.q.empty()) return c.p[static_cast<size_t>(c.fixed)];
    double overlap = 0;
    for (size_t i = 0; i < c.p.size(); ++i) overlap += std::min(c.p[i], c.q[i]);
    return overlap;
}

// Rules with one mistake each, to show that the checks below would notice it.

Decision accept_always(int64_t proposed, const float*, const float*, size_t, Rng&) { return {true, proposed}; }

Decision invert_ratio(int64_t proposed, const float* p, const float* q, size_t vocab, Rng& rng) {
    const size_t x = static_cast<size_t>(proposed);
    const float q_x = q == nullptr ? 1.0f : q[x];
    if (rng.uniform() * p[x] < q_x) return {true, proposed};
    Probs residual(vocab);
    for (size_t i = 0; i < vocab; ++i) residual[i] = std::max(0.0f, p[i] - (q == nullptr ? 0.0f : q[i]));
    const int64_t token = sample(residual.data(), vocab, rng);
    return {false, token >= 0 ? token : sample(p, vocab, rng)};
}

Decision resample_from_target(int64_t proposed, const float* p, const float* q, size_t vocab, Rng& rng) {
    const size_t x = static_cast<size_t>(proposed);
    if (rng.uniform() * (q == nullptr ? 1.0f : q[x]) < p[x]) return {true, proposed};
    return {false, sample(p, vocab, rng)};
}

Decision invert_residual(int64_t proposed, const float* p, const float* q, size_t vocab, Rng& rng) {
    const size_t x = static_cast<size_t>(proposed);
    if (rng.uniform() * (q == nullptr ? 1.0f : q[x]) < p[x]) return {true, proposed};
    Probs residual(vocab);
    for (size_t i = 0; i < vocab; ++i) residual[i] = q == nullptr ? p[i] : std::max(0.0f, q[i] - p[i]);
    const int64_t token = sample(residual.data(), vocab, rng);
    return {false, token >= 0 ? token : sample(p, vocab, rng)};
}

template <typename Rule>
bool rejected_by_some_case(Rule rule) {
    for (const Case& c : cases()) {
        if (!chi_square_accepts(simulate(rule, c.p, c.q, c.fixed, kDraws).tokens, normalised(c.p))) return true;
    }
    return false;
}

}  // namespace

TEST(greedy_accepts_only_the_argmax) {
    const Decision same = verify_greedy(4, 4);
    CHECK(same.accepted && same.token == 4);
    const Decision other = verify_greedy(4, 5);
    CHECK(!other.accepted && other.token == 5);
}

TEST(output_is_distributed_as_the_target) {
    for (const Case& c : cases()) {
        const Outcome outcome = simulate(verify_sampled, c.p, c.q, c.fixed, kDraws);
        CHECK(chi_square_accepts(outcome.tokens, normalised(c.p)));
        const double expected = expected_acceptance(c);
        const double sigma = std::sqrt(expected * (1 - std::min(expected, 1.0)) / kDraws);
        CHECK(std::fabs(outcome.acceptance - expected) < 5 * sigma + 1e-5);
    }
}

TEST(equal_distributions_accept_everything) {
    std::mt19937_64 engine(7);
    std::gamma_distribution<float> gamma(0.5f);
    for (int repeat = 0; repeat < 20; ++repeat) {
        Probs p(50);
        for (float& v : p) v = gamma(engine);
        p = scaled(p);
        CHECK(simulate(verify_sampled, p, p, 0, 2000).acceptance > 1 - 1e-9);
    }
}

TEST(long_rows) {
    // All blocks and vector widths of the residual: two-block-wide vocabularies with most of p - q in one place.
    const size_t vocab = 5003;
    Probs p(vocab, 1.0f);
    Probs q(vocab, 1.0f);
    p[4999] = 5000.0f;
    q[17] = 5000.0f;
    p = scaled(p);
    q = scaled(q);
    const Outcome outcome = simulate(verify_sampled, p, q, 0, 3000);
    CHECK(chi_square_accepts(outcome.tokens, normalised(p)));
}

TEST(zero_residual_falls_back_to_the_target) {
    // p <= q everywhere can happen by rounding; here it is exaggerated so that rejections occur.
    const Probs p = {0.25f, 0.25f};
    const Probs q = {0.5f, 0.5f};
    const Outcome outcome = simulate(verify_sampled, p, q, 0, kDraws);
    CHECK(chi_square_accepts(outcome.tokens, {0.5, 0.5}));
}

TEST(a_certain_proposal_leaves_the_random_numbers_alone) {
    // With and without n-gram lookup one seed gives one text.
    const Probs p = scaled({3, 0, 1, 2, 0.5f});
    for (int64_t proposed = 0; proposed < 5; ++proposed) {
        Rng plain(12, 0);
        Rng verified(12, 0);
        for (int i = 0; i < 1000; ++i) {
            const int64_t token = sample(p.data(), p.size(), plain);
            const Decision decision = verify_sampled(proposed, p.data(), nullptr, p.size(), verified);
            CHECK(decision.token == token && decision.accepted == (token == proposed));
        }
    }
}

TEST(a_proposal_outside_the_vocabulary_is_rejected) {
    const Probs p = {0.25f, 0.75f};
    const Probs q = {0.75f, 0.25f};
    for (const int64_t proposed : {int64_t{-1}, int64_t{2}, INT64_MAX, INT64_MIN}) {
        const Outcome outcome = simulate(verify_sampled, p, {}, proposed, kDraws / 10);
        CHECK(outcome.acceptance == 0);
        CHECK(chi_square_accepts(outcome.tokens, normalised(p)));
        Rng rng(13, 0);
        CHECK(!verify_sampled(proposed, p.data(), q.data(), p.size(), rng).accepted);
    }
}

TEST(mutants_are_noticed) {
    CHECK(!rejected_by_some_case(verify_sampled));
    CHECK(rejected_by_some_case(accept_always));
    CHECK(rejected_by_some_case(invert_ratio));
    CHECK(rejected_by_some_case(resample_from_target));
    CHECK(rejected_by_some_case(invert_residual));
}
