// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <cmath>
#include <random>

#include "check.h"
#include "kernels/diffusion/diffusion_isa.h"
#include "reference.h"

using namespace dynexec;
using reference::kInf;
using reference::kNan;

namespace {

// Every vector width has a loop, a remainder and block boundaries.
std::vector<size_t> sizes() {
    std::vector<size_t> all;
    for (size_t n = 0; n <= 70; ++n) all.push_back(n);
    for (const size_t n : {255, 256, 257, 1023, 1024, 1025, 4096, 16384}) all.push_back(n);
    return all;
}

std::vector<float> normal_row(size_t n, float scale, std::mt19937_64& engine) {
    std::normal_distribution<float> normal(0.0f, scale);
    std::vector<float> x(n);
    for (float& v : x) v = normal(engine);
    return x;
}

bool near(double value, double expected, double relative, double absolute = 0) {
    return std::fabs(value - expected) <= relative * std::fabs(expected) + absolute;
}

}  // namespace

TEST(differences_are_those_in_double) {
    std::mt19937_64 engine(1);
    for (const size_t n : sizes()) {
        for (const float scale : {1e-6f, 1.0f, 1e6f}) {
            const std::vector<float> x = normal_row(n, scale, engine);
            const std::vector<float> y = normal_row(n, scale, engine);
            double squared = 0;
            double absolute = 0;
            double norm = 0;
            for (size_t i = 0; i < n; ++i) {
                const double d = static_cast<double>(x[i]) - y[i];
                squared += d * d;
                absolute += std::fabs(d);
                norm += static_cast<double>(x[i]) * x[i];
            }
            for (const Isa isa : reference::supported_isas()) {
                const DifferenceStats stats = difference_stats(isa, x.data(), y.data(), n);
                CHECK(near(stats.squared_difference, squared, 3e-6));
                CHECK(near(stats.absolute_difference, absolute, 3e-6));
                CHECK(near(stats.squared_norm, norm, 3e-6));
                CHECK(difference_stats(isa, x.data(), x.data(), n).squared_difference == 0);
            }
        }
    }
}

TEST(cosines_are_those_in_double) {
    std::mt19937_64 engine(2);
    for (const size_t n : sizes()) {
        if (n == 0) continue;
        for (const float scale : {1e-6f, 1.0f, 1e6f}) {
            const std::vector<float> x = normal_row(n, scale, engine);
            const std::vector<float> y = normal_row(n, 3 * scale, engine);
            double xy = 0;
            double xx = 0;
            double yy = 0;
            for (size_t i = 0; i < n; ++i) {
                xy += static_cast<double>(x[i]) * y[i];
                xx += static_cast<double>(x[i]) * x[i];
                yy += static_cast<double>(y[i]) * y[i];
            }
            std::vector<float> opposite(x);
            for (float& v : opposite) v *= -2.0f;
            for (const Isa isa : reference::supported_isas()) {
                CHECK(near(cosine(isa, x.data(), y.data(), n), xy / std::sqrt(xx) / std::sqrt(yy), 0, 3e-6));
                CHECK(near(cosine(isa, x.data(), x.data(), n), 1, 0, 1e-6));
                CHECK(near(cosine(isa, x.data(), opposite.data(), n), -1, 0, 1e-6));
                CHECK(std::fabs(cosine(isa, x.data(), x.data(), n)) <= 1);
            }
        }
    }
}

TEST(cosines_of_zeros) {
    const std::vector<float> zero(300, 0.0f);
    const std::vector<float> one(300, 1.0f);
    for (const Isa isa : reference::supported_isas()) {
        CHECK(cosine(isa, zero.data(), zero.data(), zero.size()) == 1);
        CHECK(cosine(isa, zero.data(), one.data(), zero.size()) == 0);
        CHECK(cosine(isa, one.data(), zero.data(), zero.size()) == 0);
        CHECK(cosine(isa, nullptr, nullptr, 0) == 1);
    }
}

TEST(what_is_not_finite_is_seen_at_every_position) {
    std::mt19937_64 engine(3);
    for (const size_t n : {1, 31, 64, 257, 1025}) {
        for (const float special : {kNan, kInf, -kInf}) {
            for (size_t i = 0; i < n; i += n <= 64 ? 1 : 37) {
                std::vector<float> x = normal_row(n, 1.0f, engine);
                const std::vector<float> y = normal_row(n, 1.0f, engine);
                x[i] = special;
                for (const Isa isa : reference::supported_isas()) {
                    CHECK(std::isnan(cosine(isa, x.data(), y.data(), n)));
                    CHECK(std::isnan(cosine(isa, y.data(), x.data(), n)));
                    const DifferenceStats stats = difference_stats(isa, x.data(), y.data(), n);
                    CHECK(!std::isfinite(stats.squared_difference) && !std::isfinite(stats.absolute_difference));
                    CHECK(!std::isfinite(stats.squared_norm));
                    std::vector<float> out(n);
                    const float* const inputs[] = {y.data(), x.data()};
                    const float weights[] = {1.0f, 0.0f};
                    combine(isa, inputs, weights, 2, out.data(), n);
                    CHECK(std::isnan(out[i]));
                }
            }
        }
    }
}

TEST(combinations_are_those_in_double) {
    std::mt19937_64 engine(4);
    for (const size_t n : sizes()) {
        for (size_t count = 0; count <= 4; ++count) {
            std::vector<std::vector<float>> rows;
            std::vector<const float*> inputs;
            for (size_t k = 0; k < count; ++k) rows.push_back(normal_row(n, 1.0f, engine));
            for (const std::vector<float>& row : rows) inputs.push_back(row.data());
            const std::vector<float> weights = normal_row(count, 3.0f, engine);
            for (const Isa isa : reference::supported_isas()) {
                // One more than is asked for, which must stay as it is.
                std::vector<float> out(n + 1, 7.0f);
                combine(isa, inputs.data(), weights.data(), count, out.data(), n);
                CHECK(out[n] == 7.0f);
                for (size_t i = 0; i < n; ++i) {
                    double expected = 0;
                    double size = 0;
                    for (size_t k = 0; k < count; ++k) {
                        expected += static_cast<double>(weights[k]) * rows[k][i];
                        size += std::fabs(static_cast<double>(weights[k]) * rows[k][i]);
                    }
                    CHECK(std::fabs(out[i] - expected) <= 1e-6 * size);
                }
            }
        }
    }
}
