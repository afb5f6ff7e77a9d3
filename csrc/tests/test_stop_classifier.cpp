// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <cmath>
#include <limits>
#include <stdexcept>

#include "check.h"
#include "kernels/stop_classifier.h"

using namespace dynexec;

TEST(is_a_logistic_regression) {
    const StopClassifier classifier({1.0, -0.5, -0.25, 2.0});
    const double sum = std::log(0.5) - 0.5 * 1.5 - 0.25 * 3.0 + 2.0;
    CHECK(std::abs(classifier.accepted(0.5, 1.5, 3) - 1.0 / (1.0 + std::exp(-sum))) < 1e-12);
    CHECK(classifier.accepted(0.9, 0.1, 0) > classifier.accepted(0.9, 0.1, 5));
    // What cannot be is not accepted, and no NaN.
    CHECK(classifier.accepted(0.0, 1.5, 0) < 1e-4);
}

TEST(bad_weights) {
    CHECK_THROWS(StopClassifier({1.0, 2.0}), std::invalid_argument);
    CHECK_THROWS(StopClassifier({1.0, 2.0, 3.0, std::numeric_limits<double>::quiet_NaN()}), std::invalid_argument);
}
