// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <stdexcept>

#include "check.h"
#include "runtime/cost_model.h"
#include "runtime/lookahead.h"

using namespace dynexec;

namespace {

using Points = std::vector<std::pair<size_t, double>>;

// The times of passes of an imaginary model on a quiet machine.
const Points kTruth = {{1, 10.0},  {2, 12.0},  {4, 13.5},  {6, 15.0}, {8, 16.0},
                       {12, 20.0}, {16, 24.0}, {24, 32.0}, {32, 40.0}};
constexpr double kSwitch = 4.0;

// The points, those from `first` to `last` rows times `factor`.
Points distorted(double factor, size_t first = 0, size_t last = 32) {
    Points points = kTruth;
    for (auto& [rows, seconds] : points) seconds *= rows >= first && rows <= last ? factor : 1.0;
    return points;
}

// A machine on which passes take time: some noise, and now and then one that takes four times as long.
class Machine {
public:
    explicit Machine(double noise = 0.08, double outliers = 0.02) : noise_(noise), outliers_(outliers) {
        truth_.set(0, kTruth, kSwitch);
    }
    // One pass, whose time `model` is told. Returns its time without noise.
    double pass(size_t rows, CostModel& model) {
        const bool switched = rows != std::exchange(last_, rows);
        const double expected = slowdown * (truth_.seconds(rows) + (switched ? kSwitch : 0.0));
        // Three uniform numbers are normal enough, and the same everywhere.
        double noise = 0.0;
        for (int i = 0; i < 3; ++i) noise += 2.0 * noise_ * (uniform() - 0.5);
        model.observe(0, rows, switched, expected * std::exp(noise) * (uniform() < outliers_ ? 4.0 : 1.0));
        return expected;
    }
    double seconds(size_t rows) const { return slowdown * truth_.seconds(rows); }

    double slowdown = 1.0;

private:
    double uniform() { return static_cast<double>(engine_() >> 11) / 9007199254740992.0; }

    double noise_, outliers_;
    CostModel truth_{1};
    size_t last_ = 0;
    std::mt19937_64 engine_{3};
};

// Each of its tokens is accepted with the same probability.
class Drafts : public Proposer {
public:
    Drafts(double acceptance, const CostModel* cost) : acceptance_(acceptance), cost_(cost) {}
    size_t offer(const Sequence&, size_t limit) override { return limit; }
    double acceptance(const Sequence&, size_t) const override { return acceptance_; }
    double seconds(const Sequence&, size_t tokens) const override {
        return cost_ == nullptr ? 0.0 : static_cast<double>(tokens) * cost_->seconds(1);
    }
    void propose(const std::vector<Order>& orders) override {
        for (const Order& order : orders) {
            Draft& draft = order.sequence->draft;
            for (double reach = 1.0; draft.tokens.size() < order.tokens && reach >= order.least_reach;) {
                reach *= acceptance_;
                draft.tokens.push_back(1);
            }
        }
    }
    void committed(const Sequence&, size_t) override {}
    void release(const Sequence&) override {}

private:
    double acceptance_;
    const CostModel* cost_;
};

// Decodes with the lookahead "auto" on a simulated clock.
class Simulation {
public:
    Simulation(double acceptance, CostModel& target, CostModel* draft = nullptr, double draft_seconds = 0.0)
        : acceptance_(acceptance), target_(target), draft_(draft), draft_seconds_(draft_seconds) {
        request_.prompt = {1};
        request_.max_new_tokens = 1 << 20;
        sequence_ = std::make_unique<Sequence>(0, request_);
        proposers_.push_back(std::make_unique<Drafts>(acceptance, draft));
        lookahead_ = make_lookahead("auto", {proposers_, target, 31, memory_});
        if (draft_ != nullptr) draft_->follow(target_, 0);
    }

    // Tokens per second over this number of steps.
    double run(int steps) {
        double seconds = 0.0, tokens = 0.0;
        for (int i = 0; i < steps; ++i) {
            sequence_->draft.clear();
            Lookahead::Step step = lookahead_->plan({{sequence_.get(), 31}}, {});
            for (const auto& plan : step.plans) {
                plan.proposer->propose({{plan.sequence, plan.tokens, plan.least_reach}});
                for (size_t k = 0; draft_ != nullptr && k < sequence_->draft.tokens.size(); ++k) {
                    draft_->observe(0, 1, false, machine.slowdown * draft_seconds_);
                    seconds += machine.slowdown * draft_seconds_;
                }
            }
            lookahead_->settle(step);
            seconds += machine.pass(step.rows, target_);
            if (draft_ != nullptr) draft_->follow(target_, 0);
            tokens += expected(sequence_->draft.tokens.size());
        }
        return tokens / seconds;
    }

    // Tokens per second with drafts of the best length.
    double best() const {
        double best = 0.0;
        for (const size_t n : {0, 1, 3, 5, 7, 11, 15, 23, 31}) {
            const double draft = machine.slowdown * draft_seconds_ * static_cast<double>(n);
            best = std::max(best, expected(n) / (machine.seconds(1 + n) + draft));
        }
        return best;
    }

    Machine machine;

private:
    double expected(size_t n) const {
        double tokens = 1.0, reach = 1.0;
        for (size_t i = 0; i < n; ++i) tokens += reach *= acceptance_;
        return tokens;
    }

    double acceptance_;
    CostModel& target_;
    CostModel* draft_;
    double draft_seconds_;
    SequenceRequest request_;
    std::unique_ptr<Sequence> sequence_;
    std::vector<std::unique_ptr<Proposer>> proposers_;
    SpeculationMemory memory_;
    std::unique_ptr<Lookahead> lookahead_;
};

bool near(double found, double wanted, double tolerance) { return std::abs(std::log(found / wanted)) < tolerance; }

}  // namespace

TEST(costs_are_interpolated_and_noise_is_ironed_out) {
    CostModel cost(2);
    CHECK(!cost.measured());
    CHECK_THROWS(cost.seconds(1), std::logic_error);
    cost.observe(0, 1, false, 5.0);  // nothing to follow yet
    cost.set(0, {{1, 5.0}, {2, 4.0}, {4, 8.0}}, 1.0);
    cost.set(1, {{1, 1.0}, {2, 1.0}, {4, 1.0}}, 0.5);
    CHECK(cost.seconds_until(1, 1) == 4.0);
    CHECK(cost.seconds_until(1, 3) == 6.0);
    CHECK(cost.seconds_until(1, 8) == 16.0);  // beyond: the last slope
    CHECK(cost.seconds(2) == 5.0);
    CHECK(cost.switch_seconds() == 1.5);
    CHECK(near(cost.points()[2].second, 9.0, 1e-9));
}

TEST(all_row_counts_follow_the_one_that_runs) {
    for (const double factor : {4.0, 0.25}) {
        CostModel cost(1);
        cost.set(0, distorted(factor), factor * kSwitch, CostCurve::kLeastDoubt);
        Machine machine;
        for (int i = 0; i < 40; ++i) machine.pass(8, cost);
        for (size_t i = 0; i < kTruth.size(); ++i) CHECK(near(cost.points()[i].second, kTruth[i].second, 0.25));
        // The machine becomes busy, and quiet again.
        for (const double slowdown : {3.0, 1.0}) {
            machine.slowdown = slowdown;
            for (int i = 0; i < 60; ++i) machine.pass(8, cost);
            for (size_t i = 0; i < kTruth.size(); ++i) {
                CHECK(near(cost.points()[i].second, slowdown * kTruth[i].second, 0.3));
            }
        }
    }
}

TEST(row_counts_that_run_are_told_apart) {
    for (const double factor : {4.0, 0.25}) {
        CostModel cost(1);
        cost.set(0, distorted(factor, 6, 12), factor * kSwitch);
        Machine machine;
        for (int i = 0; i < 60; ++i) machine.pass(kTruth[static_cast<size_t>(i / 2) % kTruth.size()].first, cost);
        for (size_t i = 0; i < kTruth.size(); ++i) CHECK(near(cost.points()[i].second, kTruth[i].second, 0.3));
        CHECK(near(cost.switch_seconds(), kSwitch, 0.7));
    }
}

TEST(a_single_outlier_changes_little) {
    CostModel cost(1);
    cost.set(0, kTruth, kSwitch);
    Machine machine(0.08, 0.0);
    for (int i = 0; i < 30; ++i) machine.pass(8, cost);
    for (const double outlier : {20.0, 0.05}) {
        const double before = cost.points()[4].second;
        cost.observe(0, 8, false, outlier * 16.0);
        CHECK(near(cost.points()[4].second, before, 0.15));
        for (int i = 0; i < 20; ++i) machine.pass(8, cost);
    }
}

TEST(passes_that_make_kernels_do_not_count) {
    CostModel cost(1);
    cost.set(0, kTruth, kSwitch);
    cost.observe(0, 3, false, 500.0);  // the first one of its size
    cost.observe(0, 999, false, 1e-3);
    cost.observe(0, 999999, false, 1e-3);  // no pass is so long
    cost.observe(0, 999999, false, 1e-3);
    for (size_t i = 0; i < kTruth.size(); ++i) CHECK(near(cost.points()[i].second, kTruth[i].second, 1e-9));
    cost.observe(0, 3, false, 500.0);
    CHECK(cost.points()[0].second > 11.0);
}

TEST(beyond_the_profile_costs_rise_and_are_learned) {
    // By noise, six rows seemed to take no longer than two.
    CostModel cost(1);
    cost.set(0, {{1, 10.0}, {2, 16.0}, {4, 15.0}, {6, 15.0}}, kSwitch);
    CHECK(near(cost.seconds(16), 25.0, 1e-9));
    for (int i = 0; i < 3; ++i) cost.observe(0, 16, false, 100.0);
    CHECK(near(cost.points().back().second, 100.0, 0.1));
    CHECK(cost.points().back().first == 16);
    CHECK(near(cost.seconds(11), 57.0, 0.3));
    CHECK(near(cost.points()[0].second, 10.0, 0.3));
    // A pass that is a little longer is no point of its own.
    for (int i = 0; i < 3; ++i) cost.observe(0, 18, false, 110.0);
    CHECK(cost.points().size() == 5);
    for (int i = 0; i < 3; ++i) cost.observe(0, 32, true, 200.0 + kSwitch);
    CHECK(cost.points().size() == 6);
    CHECK(near(cost.points().back().second, 200.0, 0.1));
}

// The profile of a large model ends early, and its last points may be wrong.
TEST(auto_finds_out_what_passes_cost_that_are_longer_than_the_profile) {
    for (const double acceptance : {0.0, 0.3, 0.6, 0.9}) {
        for (const Points& profile : {Points{{1, 10.0}, {2, 12.0}, {4, 13.5}}, Points{{1, 10.0}, {2, 10.0}, {4, 10.0}},
                                      Points{{1, 10.0}, {2, 20.0}, {4, 40.0}}, Points{{1, 10.0}}}) {
            CostModel cost(1);
            cost.set(0, profile, kSwitch);
            Simulation simulation(acceptance, cost);
            CHECK(simulation.run(60) > 0.8 * simulation.best());
            CHECK(simulation.run(200) > 0.85 * simulation.best());
        }
    }
}

// Independent of the load on the machine while the model was loaded.
TEST(auto_finds_the_best_length_again_after_a_wrong_profile) {
    for (const double acceptance : {0.1, 0.5, 0.8, 0.95}) {
        for (const Points& profile : {distorted(1.0), distorted(4.0), distorted(0.25), distorted(4.0, 1, 4),
                                      distorted(0.25, 9), distorted(4.0, 2), distorted(4.0, 1, 1)}) {
            CostModel cost(1);
            cost.set(0, profile, kSwitch);
            Simulation simulation(acceptance, cost);
            simulation.run(60);
            CHECK(simulation.run(200) > 0.93 * simulation.best());
        }
    }
}

// A quiet load is trusted: finding out costs little, and a busier machine is followed.
TEST(auto_loses_little_where_the_profile_is_right) {
    for (const double acceptance : {0.1, 0.5, 0.8, 0.95}) {
        CostModel cost(1);
        cost.set(0, kTruth, kSwitch, CostCurve::kLeastDoubt);
        Simulation simulation(acceptance, cost);
        CHECK(simulation.run(60) > 0.9 * simulation.best());
        simulation.machine.slowdown = 4.0;
        simulation.run(30);
        CHECK(simulation.run(200) > 0.93 * simulation.best());
    }
}

TEST(auto_finds_out_what_a_draft_model_costs) {
    const Points draft_points = {{1, 1.0}, {32, 3.0}};
    // Both were loaded on a busy machine, or on a quiet one that is busy now; or the draft model alone, unevenly.
    for (const auto& [target_factor, draft_factor, doubt] : {std::tuple{4.0, 4.0, CostCurve::kLeastDoubt},
                                                             {0.25, 0.25, CostCurve::kLeastDoubt},
                                                             {1.0, 4.0, CostCurve::kMostDoubt},
                                                             {1.0, 0.1, CostCurve::kMostDoubt}}) {
        for (const double acceptance : {0.3, 0.85}) {
            CostModel target(1), draft(1);
            target.set(0, distorted(target_factor), target_factor * kSwitch, CostCurve::kLeastDoubt);
            Points profile = draft_points;
            for (auto& point : profile) point.second *= draft_factor;
            draft.set(0, profile, 0.0, doubt);
            Simulation simulation(acceptance, target, &draft, 1.0);
            simulation.run(60);
            CHECK(simulation.run(200) > 0.93 * simulation.best());
        }
    }
}

// What does not run is believed to be on the machine that the others run on.
TEST(an_idle_draft_model_follows_the_target) {
    CostModel target(1), draft(1);
    target.set(0, kTruth, kSwitch, CostCurve::kLeastDoubt);
    draft.set(0, {{1, 1.0}}, 0.0, CostCurve::kLeastDoubt);
    Machine machine;
    draft.follow(target, 7);
    machine.slowdown = 4.0;
    for (int i = 0; i < 40; ++i) {
        machine.pass(1, target);
        draft.follow(target, 7);
    }
    CHECK(near(draft.points()[0].second, 4.0, 0.25));
    // Another target has a level of its own.
    CostModel other(1);
    other.set(0, kTruth, kSwitch);
    draft.follow(other, 8);
    CHECK(near(draft.points()[0].second, 4.0, 0.25));
}
