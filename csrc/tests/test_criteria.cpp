// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <cmath>
#include <limits>
#include <stdexcept>

#include "check.h"
#include "kernels/criteria/criterion.h"
#include "kernels/criteria/exit_policy.h"

using namespace dynexec;

namespace {

ExitView view(int64_t prediction, float max_prob = 0.5f, float margin = 0.2f, float entropy = 1.5f) {
    return {{0, 0.0f, 0.0f, max_prob, margin, entropy}, prediction};
}

constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST(registry_knows_its_names) {
    CHECK(criterion_names() == std::vector<std::string>({"classifier", "entropy", "learned", "margin", "max_prob",
                                                         "patience", "settled", "vote"}));
    CHECK_THROWS(make_criterion("bogus", {}), std::invalid_argument);
}

TEST(simple_criteria_look_at_the_last_exit) {
    const std::vector<ExitView> exits = {view(1, 0.9f, 0.9f, 0.1f), view(2, 0.5f, 0.25f, 1.5f)};
    CHECK(make_criterion("max_prob", {})->score(exits, 0) == 0.5);
    CHECK(make_criterion("margin", {})->score(exits, 0) == 0.25);
    CHECK(make_criterion("entropy", {})->score(exits, 0) == 1.5);
    for (const char* name : {"max_prob", "margin", "entropy"}) CHECK(!make_criterion(name, {})->looks_back());
}

TEST(thresholds) {
    const auto surer = make_criterion("max_prob", {});
    CHECK(passes(*surer, 0.5, 0.5));
    CHECK(passes(*surer, 0.6, 0.5));
    CHECK(!passes(*surer, 0.4, 0.5));
    const auto less = make_criterion("entropy", {});
    CHECK(passes(*less, 0.5, 0.5));
    CHECK(passes(*less, 0.4, 0.5));
    CHECK(!passes(*less, 0.6, 0.5));
    for (const auto* criterion : {surer.get(), less.get()}) {
        CHECK(!passes(*criterion, std::nan(""), 0.5));
        CHECK(!passes(*criterion, 0.5, kInfinity));
        CHECK(!passes(*criterion, 0.5, -kInfinity));
        CHECK(!passes(*criterion, 0.5, std::nan("")));
    }
}

TEST(patience_counts_exits_that_agree) {
    const auto patience = make_criterion("patience", {});
    CHECK(patience->looks_back());
    CHECK(patience->score({view(3)}, 0) == 0.0);
    CHECK(patience->score({view(3), view(3)}, 0) == 1.0);
    CHECK(patience->score({view(3), view(4), view(4), view(4)}, 0) == 2.0);
    CHECK(patience->score({view(4), view(3), view(4)}, 0) == 0.0);
    // An exit without a distribution agrees with no exit, not even itself.
    CHECK(patience->score({view(-1), view(-1)}, 0) == 0.0);
}

TEST(votes_need_not_be_in_a_row) {
    const auto vote = make_criterion("vote", {});
    CHECK(vote->looks_back());
    CHECK(vote->score({view(3)}, 0) == 1.0);
    CHECK(vote->score({view(3), view(4), view(3)}, 0) == 2.0);
    CHECK(vote->score({view(3), view(3), view(4)}, 0) == 1.0);
    // An exit without a distribution has no vote.
    CHECK(vote->score({view(-1), view(-1)}, 0) == 0.0);
}

TEST(some_criteria_ask_what_exits_say_of_themselves) {
    ExitView said = view(1);
    said.certainty = 0.75;
    for (const char* name : {"learned", "settled"}) {
        const auto criterion = make_criterion(name, {});
        CHECK(criterion->needs_certainty());
        CHECK(criterion->score({view(1), said}, 0) == 0.75);
        CHECK(!passes(*criterion, criterion->score({said, view(1)}, 0), 0.0));
    }
    CHECK(!make_criterion("max_prob", {})->needs_certainty());
}

TEST(policies_ask_where_it_matters) {
    const ExitPolicy one("max_prob", {}, {kInfinity, 0.5, kInfinity});
    CHECK(!one.asks(0) && one.asks(1) && !one.asks(2));
    CHECK(one.leaves({view(-1), view(1, 0.5f)}, 0));
    CHECK(!one.leaves({view(-1), view(1, 0.25f)}, 0));
    CHECK(!one.leaves({view(1, 1.0f)}, 0));
    // It looks back at exits where nothing exits.
    const ExitPolicy patience("patience", {}, {kInfinity, 1.0, kInfinity});
    CHECK(patience.asks(0) && patience.asks(1) && !patience.asks(2));
    const ExitPolicy less("entropy", {}, {-kInfinity, -kInfinity});
    CHECK(!less.asks(0) && !less.asks(1));
}

TEST(classifier_is_a_logistic_regression) {
    CriterionWeights weights;
    weights.weights = {{1.0, 0.0, 0.0, 0.0, 0.0, 0.0}, {0.5, -0.25, 2.0, 0.125, 1.0, -1.0}};
    weights.bias = {0.0, -1.0};
    const auto classifier = make_criterion("classifier", weights);
    const auto sigmoid = [](double x) { return 1.0 / (1.0 + std::exp(-x)); };
    const std::vector<ExitView> one = {view(3, 0.5f)};
    const std::vector<ExitView> two = {view(3, 0.5f), view(3, 0.75f, 0.5f, 0.0f)};
    CHECK(std::fabs(classifier->score(one, 9) - sigmoid(0.5)) < 1e-12);
    const double expected = sigmoid(0.375 - 0.125 + 0.0 + 0.125 * std::log(1e-6) + 1.0 - std::log(10.0) - 1.0);
    CHECK(std::fabs(classifier->score(two, 9) - expected) < 1e-12);
    CHECK(std::isnan(classifier->score({view(3, std::nanf(""))}, 0)));
    weights.bias.pop_back();
    CHECK_THROWS(make_criterion("classifier", weights), std::invalid_argument);
    CHECK_THROWS(make_criterion("classifier", {}), std::invalid_argument);
    CHECK_THROWS(make_criterion("classifier", {{{1.0}}, {0.0}}), std::invalid_argument);
}
