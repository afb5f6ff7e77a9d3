// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/profiling.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "runtime/row_counts.h"
#include "timer.h"

namespace dynexec {
namespace {

constexpr size_t kPast = 256;
constexpr int kRounds = 5;
constexpr double kBudgetSeconds = 2.0;
constexpr size_t kLargeRows = 8;
// Later times of one size may differ by this multiple of the difference between rounds.
constexpr double kCaution = 4.0;
// The doubt if there was time for only one round.
constexpr double kUnknownDoubt = 0.3;

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

// The number of tokens for which the cache has room beside the sequences that it holds.
size_t room_of(const PagedModel& model) {
    return std::min(model.cache_limit(), model.free_blocks() * model.pool().block_size());
}

// At most the number that the cache has room for. Smaller passes than the least are filled up. A block has at
// least two tokens.
std::vector<size_t> fitting_rows(const PagedModel& model) {
    const size_t least = std::max(model.row_limits().per_sequence, model.row_limits().least);
    std::vector<size_t> fitting = {least};
    for (const size_t rows : kRowCounts) {
        if (rows > least && rows <= kMostTimedRows) fitting.push_back(rows);
    }
    while (fitting.size() > 1 && 2 * fitting.back() > room_of(model)) fitting.pop_back();
    return fitting;
}

// The order in which sizes are timed, as indices: the smallest, a large one, then the others. If the profile is cut
// short, the costs between the two are interpolated, which is better than guessing them from smaller sizes.
std::vector<size_t> order_of(const std::vector<size_t>& sizes) {
    std::vector<size_t> order(sizes.size());
    std::iota(order.begin(), order.end(), 0);
    size_t large = 0;
    while (large + 1 < sizes.size() && sizes[large + 1] <= kLargeRows) ++large;
    if (large > 1)
        std::rotate(order.begin() + 1, order.begin() + static_cast<std::ptrdiff_t>(large),
                    order.begin() + static_cast<std::ptrdiff_t>(large) + 1);
    return order;
}

void run(PagedModel& model, size_t rows) {
    // Attention to a context of usual length is part of the cost. The content of the context does not matter.
    const size_t past = std::min(kPast, room_of(model) - rows);
    // Not the token for padding, which is among the first ones: its embedding is zero, and zeros make NaN of what
    // chooses the experts of PhiMoE, with which OpenVINO writes out of bounds.
    const std::vector<int64_t> ids(rows, static_cast<int64_t>(model.vocab_size() / 2));
    BlockTable table;
    model.reserve(table, past + rows);
    FlatBatch batch;
    batch.add(ids.data(), rows, past, table.blocks(), rows);
    batch.hidden_states.resize(rows * model.input_hidden_size());
    // A model with learned positions may have only a few positions.
    for (size_t i = 0; i < rows; ++i) batch.position_ids[i] = static_cast<int64_t>(i);
    model.forward(batch);
}

// The times of one segment.
struct Times {
    std::vector<std::vector<double>> kept;  // of each size, after another pass of that size
    std::vector<double> switching;          // the additional time of the first of two passes

    // Medians, without the sizes that were not timed.
    std::vector<std::pair<size_t, double>> points(const std::vector<size_t>& sizes) const {
        std::vector<std::pair<size_t, double>> points;
        for (size_t i = 0; i < sizes.size(); ++i) {
            if (!kept[i].empty()) points.emplace_back(sizes[i], median(kept[i]));
        }
        return points;
    }

    // The doubt of a point: the difference between the rounds, as a logarithm.
    double doubt() const {
        std::vector<double> differences;
        for (const auto& seconds : kept) {
            if (seconds.size() < 2) continue;
            const double middle = median(seconds);
            for (const double s : seconds) differences.push_back(std::abs(std::log(s / middle)));
        }
        return differences.empty() ? kUnknownDoubt : kCaution * median(differences);
    }
};

}  // namespace

void warm_up(PagedModel& model) {
    for (const size_t rows : fitting_rows(model)) run(model, rows);
}

void profile(PagedModel& model) {
    const std::vector<size_t> sizes = fitting_rows(model);
    std::vector<Times> times(model.num_segments());
    for (Times& of_segment : times) of_segment.kept.resize(sizes.size());
    const std::vector<size_t> order = order_of(sizes);
    double spent = 0.0;
    // In rounds over all sizes, of which medians are taken, so that other work of the machine affects all sizes
    // equally.
    for (int round = 0; round < kRounds && spent < kBudgetSeconds; ++round) {
        for (size_t timed = 0; timed < order.size(); ++timed) {
            const size_t i = order[timed];
            const auto start = Clock::now();
            run(model, sizes[i]);  // pays for the switch, if there is another size
            std::vector<double> first;
            for (size_t k = 0; k < times.size(); ++k) first.push_back(model.last_seconds(k));
            run(model, sizes[i]);
            for (size_t k = 0; k < times.size(); ++k) {
                times[k].kept[i].push_back(model.last_seconds(k));
                if (sizes.size() > 1) times[k].switching.push_back(first[k] - model.last_seconds(k));
            }
            spent += seconds_since(start);
            // The profile of a large model is cut short, so that it can serve soon.
            if (spent > kBudgetSeconds && timed > 1) break;
        }
    }
    for (size_t k = 0; k < times.size(); ++k) {
        const double switching = times[k].switching.empty() ? 0.0 : median(times[k].switching);
        model.cost_model().set(k, times[k].points(sizes), switching, times[k].doubt());
    }
}

}  // namespace dynexec
