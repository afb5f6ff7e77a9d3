// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <cfloat>
#include <random>

#include "check.h"
#include "kernels/exp.h"
#include "kernels/logits_stats_isa.h"
#include "reference.h"

using namespace dynexec;
using reference::kInf;
using reference::kNan;

namespace {

void check_row(const std::vector<float>& x) {
    for (const Isa isa : reference::supported_isas()) {
        CHECK(reference::stats_agree(logits_stats(isa, x.data(), x.size()), x));
        CHECK(argmax(isa, x.data(), x.size()) == reference::argmax(x));

        std::vector<float> p = x;
        const std::vector<double> expected = reference::softmax(x);
        const bool valid = softmax(isa, p.data(), p.size());
        CHECK(valid == !expected.empty());
        if (!valid) continue;
        for (size_t i = 0; i < x.size(); ++i) {
            CHECK(reference::close(p[i], expected[i], 2.5e-5, FLT_MIN));
            if (x[i] == -kInf) CHECK(p[i] == 0.0f);
        }
    }
}

// Every vector width has a loop, a remainder and block boundaries.
std::vector<size_t> sizes() {
    std::vector<size_t> all;
    for (size_t n = 1; n <= 70; ++n) all.push_back(n);
    for (const size_t n : {255, 256, 257, 511, 512, 513, 2049, 5000, 49152, 50257}) all.push_back(n);
    return all;
}

std::vector<float> normal_row(size_t n, float scale, std::mt19937_64& engine) {
    std::normal_distribution<float> normal(0.0f, scale);
    std::vector<float> x(n);
    for (float& v : x) v = normal(engine);
    return x;
}

}  // namespace

TEST(exp_is_accurate) {
    double worst = 0;
    for (float x = 0.0f; x >= kExpMin; x = std::nextafter(x * 1.00001f, -kInf)) {
        const double expected = std::exp(static_cast<double>(x));
        const float rounded = static_cast<float>(expected);
        const double ulp = static_cast<double>(std::nextafter(rounded, kInf)) - rounded;
        worst = std::max(worst, std::fabs(exp_nonpositive(x) - expected) / ulp);
    }
    std::printf("       largest error of exp: %.3f ulp\n", worst);
    CHECK(worst < 2.0);
    CHECK(exp_nonpositive(0.0f) == 1.0f);
    CHECK(exp_nonpositive(-0.0f) == 1.0f);
    CHECK(exp_nonpositive(kExpMin) >= FLT_MIN);
    for (const float x : {std::nextafter(kExpMin, -kInf), -88.0f, -1e4f, -1e30f, -FLT_MAX, -kInf}) {
        CHECK(exp_nonpositive(x) == 0.0f);
    }
    CHECK(std::isnan(exp_nonpositive(kNan)));
    CHECK(std::isnan(exp_nonpositive(-kNan)));
}

TEST(random_rows) {
    std::mt19937_64 engine(1);
    for (const size_t n : sizes()) {
        for (const float scale : {0.0f, 1e-3f, 1.0f, 10.0f, 1e4f}) check_row(normal_row(n, scale, engine));
    }
}

TEST(ties_go_to_the_lowest_index) {
    std::mt19937_64 engine(2);
    for (const size_t n : sizes()) {
        std::vector<float> x(n);
        for (float& v : x) v = static_cast<float>(engine() % 3);
        check_row(x);
        check_row(std::vector<float>(n, -7.5f));
        // A tie between both ends, and one between zeros of either sign.
        std::vector<float> ends(n, -1.0f);
        ends.front() = ends.back() = 2.0f;
        check_row(ends);
        std::vector<float> zeros(n, -0.0f);
        zeros.back() = 0.0f;
        check_row(zeros);
    }
}

TEST(special_values_at_every_position) {
    std::mt19937_64 engine(3);
    for (const size_t n : sizes()) {
        if (n > 2049) continue;
        for (const float special : {kNan, -kNan, kInf, -kInf, FLT_MAX, -FLT_MAX, FLT_TRUE_MIN, -FLT_TRUE_MIN}) {
            const size_t step = n <= 70 ? 1 : 101;
            for (size_t i = 0; i < n; i += step) {
                std::vector<float> x = normal_row(n, 1.0f, engine);
                x[i] = special;
                check_row(x);
            }
        }
    }
}

TEST(rows_of_special_values) {
    std::mt19937_64 engine(4);
    const std::vector<float> values = {-kInf, -FLT_MAX, -1e30f, -100.0f,      -1.0f, -FLT_MIN, -FLT_TRUE_MIN, -0.0f,
                                       0.0f,  FLT_MIN,  1.0f,   FLT_TRUE_MIN, 88.0f, 100.0f,   1e30f,         FLT_MAX};
    for (const size_t n : sizes()) {
        if (n > 5000) continue;
        for (const float value : {-kInf, kInf, kNan, FLT_MAX, -FLT_MAX}) check_row(std::vector<float>(n, value));
        for (int repeat = 0; repeat < 20; ++repeat) {
            const size_t kinds = 1 + engine() % values.size();
            std::vector<float> x(n);
            for (float& v : x) v = values[engine() % kinds];
            check_row(x);
        }
    }
}

TEST(one_candidate_left) {
    for (const size_t n : sizes()) {
        std::vector<float> x(n, -kInf);
        x[n / 2] = 3.0f;
        for (const Isa isa : reference::supported_isas()) {
            const LogitsStats stats = logits_stats(isa, x.data(), n);
            CHECK(stats.argmax == static_cast<int64_t>(n / 2));
            CHECK(stats.max == 3.0f && stats.logsumexp == 3.0f);
            CHECK(stats.max_prob == 1.0f && stats.margin == 1.0f && stats.entropy == 0.0f);
        }
    }
}

TEST(empty_row_is_invalid) {
    CHECK(logits_stats(nullptr, 0).argmax == -1);
    CHECK(argmax(nullptr, 0) == -1);
    CHECK(!softmax(nullptr, 0));
}
