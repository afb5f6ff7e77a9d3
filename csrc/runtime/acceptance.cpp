// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/acceptance.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace dynexec {
namespace {

// Numbers of observations: over requests, and within one text, which may be very different.
constexpr double kLongMemory = 200.0;
constexpr double kShortMemory = 20.0;
// The observations of earlier requests count as this number of observations of the text itself.
constexpr double kWeightOfRequests = 4.0;

}  // namespace

AcceptanceTable AcceptanceTable::over_requests(size_t contexts, size_t positions) {
    return AcceptanceTable(contexts, positions, kLongMemory);
}

AcceptanceTable::AcceptanceTable(size_t contexts, size_t positions, double memory)
    : positions_(positions), decay_(std::exp(-1.0 / memory)), cells_(contexts * positions) {}

size_t AcceptanceTable::cell(size_t context, size_t position) const {
    return context * positions_ + std::min(position, positions_ - 1);
}

void AcceptanceTable::observe(size_t context, size_t position, double accepted) {
    Cell& c = cells_[cell(context, position)];
    c.accepted = c.accepted * decay_ + accepted;
    c.seen = c.seen * decay_ + 1.0;
}

double AcceptanceTable::estimate(size_t context, size_t position, double prior, double weight) const {
    const Cell& c = cells_[cell(context, position)];
    return (c.accepted + prior * weight) / (c.seen + weight);
}

void AcceptanceTable::forget(double factor) {
    for (Cell& c : cells_) {
        c.accepted *= factor;
        c.seen *= factor;
    }
}

std::vector<double> AcceptanceTable::values() const {
    std::vector<double> values;
    for (const Cell& c : cells_) values.insert(values.end(), {c.accepted, c.seen});
    return values;
}

void AcceptanceTable::set_values(const std::vector<double>& values) {
    if (values.size() != 2 * cells_.size()) throw std::invalid_argument("AcceptanceTable: another number of values");
    std::vector<Cell> cells(cells_.size());
    for (size_t i = 0; i < cells.size(); ++i) {
        cells[i] = {values[2 * i], values[2 * i + 1]};
        const bool possible = cells[i].accepted >= 0.0 && cells[i].accepted <= cells[i].seen;
        if (!possible || !std::isfinite(cells[i].seen)) {
            throw std::invalid_argument("AcceptanceTable: values that are no observations");
        }
    }
    cells_ = std::move(cells);
}

RunningAcceptance::RunningAcceptance(AcceptanceTable& over_requests)
    : over_requests_(&over_requests), here_(over_requests.contexts(), over_requests.positions(), kShortMemory) {}

size_t RunningAcceptance::score(size_t context, const std::vector<int64_t>& guessed, const int64_t* came, size_t n) {
    for (size_t i = 0; i < std::min(n, guessed.size()); ++i) {
        const bool accepted = guessed[i] == came[i];
        observe(context, i, accepted ? 1.0 : 0.0);
        if (!accepted) return i;
    }
    return std::min(n, guessed.size());
}

void RunningAcceptance::observe(size_t context, size_t position, double accepted) {
    over_requests_->observe(context, position, accepted);
    here_.observe(context, position, accepted);
}

double RunningAcceptance::estimate(size_t context, size_t position, double prior, double weight) const {
    const double before = over_requests_->estimate(context, position, prior, weight);
    return here_.estimate(context, position, before, kWeightOfRequests);
}

}  // namespace dynexec
