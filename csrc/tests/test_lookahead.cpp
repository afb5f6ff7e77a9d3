// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <stdexcept>

#include "check.h"
#include "runtime/acceptance.h"
#include "runtime/lookahead.h"

using namespace dynexec;

namespace {

// Offers tokens with given acceptance probabilities to every sequence. When it has drafted, it may know better.
class FakeProposer : public Proposer {
public:
    FakeProposer(std::vector<std::vector<double>> acceptance, double seconds_per_token)
        : acceptance_(std::move(acceptance)), seconds_per_token_(seconds_per_token) {}

    size_t offer(const Sequence& sequence, size_t limit) override {
        return std::min(limit, acceptance_[sequence.index].size());
    }
    double acceptance(const Sequence& sequence, size_t position) const override {
        return drafted && !known.empty() ? known[position] : acceptance_[sequence.index][position];
    }
    double seconds(const Sequence&, size_t tokens) const override {
        const double each = cost == nullptr ? seconds_per_token_ : cost->seconds(1);
        return each * static_cast<double>(tokens);
    }
    void propose(const std::vector<Order>& orders) override {
        drafted = true;
        for (const Order& order : orders) {
            double reach = 1.0;
            Draft& draft = order.sequence->draft;
            draft.clear();
            while (draft.tokens.size() < order.tokens && reach >= order.least_reach) {
                reach *= acceptance(*order.sequence, draft.tokens.size());
                draft.tokens.push_back(1);
                if (draws) draft.probs.emplace_back();
            }
        }
    }
    void committed(const Sequence&, size_t) override {}
    void release(const Sequence&) override {}

    const CostModel* cost = nullptr;  // of its model, if there is one
    std::vector<double> known;
    bool drafted = false;
    bool draws = false;

    double expected_tokens(size_t sequence, size_t k) const {
        double reach = 1.0;
        double expected = 1.0;
        for (size_t i = 0; i < k; ++i) expected += reach *= acceptance_[sequence][i];
        return expected;
    }

private:
    std::vector<std::vector<double>> acceptance_;
    double seconds_per_token_;
};

const std::vector<std::pair<size_t, double>> kPoints = {{1, 10.0}, {2, 12.0}, {8, 16.0}, {32, 40.0}};

struct Scene {
    Scene(const std::string& schedule, size_t num_sequences, size_t num_tokens) : requests(num_sequences) {
        cost.set(0, kPoints, 0.0);
        for (size_t i = 0; i < num_sequences; ++i) {
            requests[i].prompt = {1};
            sequences.push_back(std::make_unique<Sequence>(i, requests[i]));
        }
        make = [=](Scene& scene) {
            scene.lookahead = make_lookahead(schedule, {scene.proposers, scene.cost, num_tokens, scene.memory});
        };
    }

    FakeProposer& add(std::vector<std::vector<double>> acceptance, double seconds_per_token = 0.0) {
        proposers.push_back(std::make_unique<FakeProposer>(std::move(acceptance), seconds_per_token));
        return static_cast<FakeProposer&>(*proposers.back());
    }

    // Tokens planned for each sequence.
    std::vector<size_t> plan(size_t limit, size_t other_rows = 0, size_t other_sequences = 0) {
        if (!lookahead) make(*this);
        std::vector<Lookahead::Candidate> candidates;
        for (auto& sequence : sequences) candidates.push_back({sequence.get(), limit});
        for (auto& sequence : sequences) sequence->draft.clear();
        for (auto& proposer : proposers) static_cast<FakeProposer&>(*proposer).drafted = false;
        std::vector<size_t> tokens(sequences.size());
        Lookahead::Step step = lookahead->plan(candidates, {other_rows, other_sequences});
        for (const auto& plan : step.plans) {
            plan.proposer->propose({{plan.sequence, plan.tokens, plan.least_reach}});
        }
        lookahead->settle(step);
        plans = std::move(step.plans);
        rows = step.rows;
        for (const auto& plan : plans) {
            CHECK(plan.tokens == plan.sequence->draft.tokens.size());
            tokens[plan.sequence->index] += plan.tokens;
        }
        return tokens;
    }

    std::vector<SequenceRequest> requests;
    std::vector<std::unique_ptr<Sequence>> sequences;
    std::vector<std::unique_ptr<Proposer>> proposers;
    CostModel cost{1};
    SpeculationMemory memory;
    std::function<void(Scene&)> make;
    std::unique_ptr<Lookahead> lookahead;
    std::vector<Lookahead::Plan> plans;
    size_t rows = 0;
};

using Lengths = std::vector<size_t>;

}  // namespace

TEST(registry_knows_its_names) {
    const std::vector<std::string> names = {"auto", "constant", "disco", "heuristic", "heuristic_transient"};
    CHECK(lookahead_names() == names);
    Scene scene("bogus", 1, 5);
    CHECK_THROWS(scene.plan(5), std::invalid_argument);
}

TEST(constant_takes_what_is_offered_up_to_its_length) {
    Scene scene("constant", 1, 5);
    scene.add({{0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0}});
    CHECK(scene.plan(10) == Lengths({5}));
    CHECK(scene.plan(3) == Lengths({3}));
    CHECK(scene.plan(0) == Lengths({0}));
}

TEST(constant_prefers_the_first_proposer_that_has_anything) {
    Scene scene("constant", 1, 5);
    scene.add({{}});
    FakeProposer& second = scene.add({{0.5, 0.5}});
    CHECK(scene.plan(10) == Lengths({2}));
    CHECK(scene.plans[0].proposer == &second);
}

TEST(heuristic_grows_by_two_and_shrinks_by_one) {
    for (const bool transient : {false, true}) {
        Scene scene(transient ? "heuristic_transient" : "heuristic", 1, 3);
        scene.add({std::vector<double>(20, 0.5)});
        CHECK(scene.plan(20) == Lengths({3}));
        scene.lookahead->observe(*scene.sequences[0], 3, 3);
        CHECK(scene.plan(20) == Lengths({5}));
        for (int i = 0; i < 10; ++i) scene.lookahead->observe(*scene.sequences[0], 5, 1);
        CHECK(scene.plan(20) == Lengths({1}));
        scene.lookahead->observe(*scene.sequences[0], 1, 1);
        CHECK(scene.plan(20) == Lengths({3}));
        scene.lookahead->observe(*scene.sequences[0], 3, 3);
        scene.make(scene);  // the next generate call
        CHECK(scene.plan(20) == (transient ? Lengths({3}) : Lengths({5})));
    }
}

TEST(auto_decodes_plainly_where_nothing_is_accepted) {
    Scene scene("auto", 3, 31);
    scene.cost.set(0, kPoints, 4.0);
    scene.add(std::vector<std::vector<double>>(3, std::vector<double>(31, 0.01)));
    for (int i = 0; i < 50; ++i) scene.plan(31);
    CHECK(scene.plan(31) == Lengths({0, 0, 0}));
    CHECK(scene.rows == 3);
}

TEST(auto_proposes_all_that_is_always_accepted) {
    Scene scene("auto", 1, 31);
    scene.add({std::vector<double>(31, 1.0)});
    CHECK(scene.plan(31) == Lengths({31}));
    CHECK(scene.rows == 32);
    CHECK(scene.plan(3) == Lengths({3}));  // near the end of a text
    CHECK(scene.rows >= 4);
}

TEST(auto_respects_the_longest_draft) {
    Scene scene("auto", 1, 5);
    scene.add({std::vector<double>(31, 1.0)});
    CHECK(scene.plan(31) == Lengths({5}));
}

TEST(auto_leaves_a_draft_that_costs_more_than_it_gives) {
    Scene scene("auto", 1, 31);
    scene.add({std::vector<double>(31, 0.9)}, 11.0);
    CHECK(scene.plan(31) == Lengths({0}));
}

TEST(auto_takes_the_proposer_with_the_better_rate) {
    Scene scene("auto", 1, 31);
    scene.add({std::vector<double>(5, 0.3)});
    FakeProposer& better = scene.add({std::vector<double>(5, 0.9)}, 0.5);
    scene.plan(31);
    CHECK(scene.plans.size() == 1);
    CHECK(scene.plans[0].proposer == &better);
}

TEST(auto_shortens_a_draft_that_went_badly_and_goes_on_with_one_that_goes_well) {
    Scene scene("auto", 1, 31);
    FakeProposer& head = scene.add({std::vector<double>(31, 0.8)}, 0.1);
    const size_t usual = scene.plan(31)[0];
    CHECK(usual >= 5);
    head.known = std::vector<double>(31, 0.2);
    CHECK(scene.plan(31)[0] < usual);
    head.known = std::vector<double>(31, 0.99);
    CHECK(scene.plan(31)[0] > usual);
}

TEST(auto_ends_drafting_where_a_token_costs_more_than_it_gives) {
    for (const double seconds : {0.1, 1.0}) {
        Scene scene("auto", 1, 31);
        FakeProposer& head = scene.add({std::vector<double>(31, 0.8)}, seconds);
        scene.plan(31);
        head.drafted = false;
        const auto step = scene.lookahead->plan({{scene.sequences[0].get(), 31}}, {});
        CHECK(step.plans.size() == 1);
        if (step.plans.empty()) continue;
        CHECK(step.plans[0].tokens == 31);
        // A row costs about 1, a token takes about 4.
        CHECK(step.plans[0].least_reach > (seconds + 0.9) / 6.0);
        CHECK(step.plans[0].least_reach < (seconds + 1.1) / 2.0);
    }
}

TEST(auto_leaves_a_draft_that_went_badly_for_a_free_one) {
    Scene scene("auto", 1, 31);
    FakeProposer& lookup = scene.add({std::vector<double>(31, 0.6)});
    FakeProposer& head = scene.add({std::vector<double>(31, 0.8)}, 0.1);
    scene.plan(31);
    CHECK(scene.plans[0].proposer == &head);
    head.known = std::vector<double>(31, 0.1);
    scene.plan(31);
    CHECK(scene.plans[0].proposer == &lookup);
}

// Verified tokens must occur with the probability that they were drawn with.
TEST(auto_leaves_out_no_token_that_was_drawn) {
    Scene scene("auto", 1, 31);
    for (auto& request : scene.requests) request.logits.do_sample = true;
    scene.add({std::vector<double>(31, 0.6)});
    FakeProposer& head = scene.add({std::vector<double>(31, 0.8)}, 0.1);
    head.draws = true;
    const size_t usual = scene.plan(31)[0];
    CHECK(usual >= 3);
    for (const double acceptance : {0.99, 0.5}) {
        head.known = std::vector<double>(31, acceptance);
        scene.plan(31);
        CHECK(scene.plans[0].proposer == &head);
        CHECK(scene.plans[0].tokens == scene.sequences[0]->draft.probs.size());
        CHECK(scene.rows >= 1 + scene.plans[0].tokens);
    }
}

TEST(auto_settles_on_the_best_size_by_enumeration) {
    std::mt19937_64 engine(3);
    std::uniform_real_distribution<double> uniform(0.0, 1.0);
    int drafted = 0;
    for (int repeat = 0; repeat < 300; ++repeat) {
        const size_t n = 1 + engine() % 3;
        const auto sequences = static_cast<double>(n);
        Scene scene("auto", n, 31);
        scene.cost.set(0, kPoints, 4.0 * uniform(engine));
        std::vector<std::vector<double>> acceptance(n);
        std::vector<std::pair<double, size_t>> reach;  // of the tokens of each sequence
        for (size_t k = 0; k < n; ++k) {
            const double easy = uniform(engine);
            double reached = 1.0;
            for (size_t i = 0; i < 31; ++i) {
                acceptance[k].push_back(std::pow(uniform(engine), easy));
                reach.emplace_back(reached *= acceptance[k].back(), k);
            }
        }
        std::sort(reach.rbegin(), reach.rend());
        // A token saves a pass only as far as the n best tokens help all sequences.
        std::vector<double> help(n);
        for (size_t i = 0; i < n; ++i) help[reach[i].second] += reach[i].first;
        const double all = std::accumulate(help.begin(), help.end(), 0.0);
        const double even = *std::min_element(help.begin(), help.end()) * sequences / all;
        const auto rate = [&](size_t size) {
            double expected = sequences;
            for (size_t i = 0; i < size; ++i) expected += even * reach[i].first;
            return expected / scene.cost.seconds(n + size);
        };
        double best = 0.0;
        for (const size_t rows : {1, 2, 4, 6, 8, 12, 16, 24, 32}) {
            if (rows >= n) best = std::max(best, rate(rows - n));
        }
        scene.add(acceptance);
        Lengths planned;
        for (int i = 0; i < 100; ++i) planned = scene.plan(31);
        size_t size = 0;
        for (const size_t length : planned) size += length;
        // If a switch is expensive, a size that is good enough is kept.
        CHECK(rate(size) >= best * 0.9);
        CHECK(scene.rows == n + size);
        drafted += size > 0;
    }
    CHECK(drafted > 150);
}

// Seconds of a pass: a fixed part, and a part for each row.
std::vector<std::pair<size_t, double>> linear(double fixed, double row) {
    std::vector<std::pair<size_t, double>> points;
    for (const size_t rows : {1, 2, 4, 6, 8, 12, 16, 24, 32}) {
        points.emplace_back(rows, fixed + row * static_cast<double>(rows));
    }
    return points;
}

TEST(auto_in_a_batch_drafts_where_rows_cost_little_and_all_sequences_gain) {
    for (const size_t n : {2, 3, 5, 8, 16}) {
        for (const bool even : {true, false}) {
            for (const bool dear : {true, false}) {
                Scene scene("auto", n, 31);
                scene.cost.set(0, dear ? linear(2.0, 10.0) : linear(100.0, 1.0), 0.5, CostCurve::kLeastDoubt);
                std::vector<std::vector<double>> acceptance(n, {0.8, 0.8, 0.8});
                if (!even) acceptance.back().clear();
                scene.add(acceptance);
                Lengths planned;
                for (int i = 0; i < 100; ++i) planned = scene.plan(31);
                size_t size = 0;
                for (const size_t length : planned) size += length;
                // A call ends with its last sequence, and a row costs as much as it saves.
                CHECK((size > 0) == (even && !dear));
            }
        }
    }
}

TEST(auto_fills_passes_to_the_same_few_numbers_of_rows) {
    for (const size_t n : {1, 3, 5, 7, 11}) {
        Scene scene("auto", n, 31);
        scene.cost.set(0, linear(100.0, 0.5), 0.5, CostCurve::kLeastDoubt);
        std::mt19937_64 engine(n);
        std::vector<std::vector<double>> acceptance(n, std::vector<double>(31, 0.9));
        scene.add(acceptance);
        for (int i = 0; i < 100; ++i) {
            scene.plan(1 + engine() % 31);
            const std::vector<size_t> rows = {n, 1, 2, 4, 6, 8, 12, 16, 24, 32};
            CHECK(std::find(rows.begin(), rows.end(), scene.rows) != rows.end());
        }
    }
}

TEST(auto_drafts_in_large_batches_and_beside_prompts) {
    for (const size_t prompt_rows : {0, 500}) {
        for (const size_t n : {1, 8, 32, 64, 96}) {
            Scene scene("auto", n, 31);
            scene.cost.set(0, linear(100.0, 0.01), 0.5, CostCurve::kLeastDoubt);
            scene.add(std::vector<std::vector<double>>(n, std::vector<double>(31, 0.99)));
            Lengths planned;
            for (int i = 0; i < 20; ++i) planned = scene.plan(31, prompt_rows);
            CHECK(*std::max_element(planned.begin(), planned.end()) > 0);
        }
    }
}

TEST(auto_keeps_a_size_rather_than_flutter) {
    for (const bool dear : {false, true}) {
        Scene scene("auto", 1, 31);
        scene.cost.set(0, kPoints, dear ? 20.0 : 0.0);
        scene.add({std::vector<double>(31, 0.6)});
        size_t switches = 0;
        size_t rows = 0;
        for (int i = 0; i < 100; ++i) {
            scene.plan(i % 2 == 0 ? 31 : 0);  // something to propose in every other step
            switches += i > 20 && scene.rows != rows;
            rows = scene.rows;
        }
        CHECK(dear ? switches == 0 : switches > 50);
    }
}

TEST(acceptance_follows_what_it_sees) {
    AcceptanceTable memory = AcceptanceTable::over_requests(2, 3);
    RunningAcceptance acceptance(memory);
    CHECK(acceptance.estimate(0, 0, 0.5, 2.0) == 0.5);
    const std::vector<int64_t> guessed = {7, 8, 9, 9};
    const std::vector<int64_t> came = {7, 8, 1, 9};
    CHECK(acceptance.score(0, guessed, came.data(), came.size()) == 2);
    CHECK(acceptance.estimate(0, 0, 0.5, 2.0) > 0.5);
    CHECK(acceptance.estimate(0, 1, 0.5, 2.0) > 0.5);
    CHECK(acceptance.estimate(0, 2, 0.5, 2.0) < 0.5);
    CHECK(acceptance.estimate(0, 3, 0.5, 2.0) == acceptance.estimate(0, 2, 0.5, 2.0));  // shares the last position
    CHECK(acceptance.estimate(1, 0, 0.5, 2.0) == 0.5);
    for (int i = 0; i < 200; ++i) acceptance.score(0, {7}, guessed.data() + 1, 1);
    CHECK(acceptance.estimate(0, 0, 0.5, 2.0) < 0.05);
    // The next text starts from the observations of this one, which fade.
    CHECK(RunningAcceptance(memory).estimate(0, 0, 0.5, 2.0) < 0.05);
    for (int i = 0; i < 60; ++i) memory.forget(0.8);
    CHECK(RunningAcceptance(memory).estimate(0, 0, 0.5, 2.0) > 0.45);
}

TEST(blocks_are_given_back) {
    BlockPool pool(32);
    CHECK_THROWS(pool.allocate(), std::logic_error);
    pool.grow(4);
    {
        BlockTable table;
        table.reserve(pool, 65);
        CHECK(table.blocks() == std::vector<int32_t>({0, 1, 2}));
        table.reserve(pool, 1);  // never shrinks
        CHECK(table.blocks().size() == 3);
        CHECK(pool.available() == 1);
    }
    CHECK(pool.available() == 4);
    pool.grow(6);
    pool.grow(2);
    CHECK(pool.capacity() == 6);
    CHECK(pool.available() == 6);
}
