// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/acceptance.h"

#include <algorithm>
#include <cmath>

namespace dynexec {

AcceptanceTable::AcceptanceTable(size_t contexts, size_t positions, double memory)
    : positions_(positions), decay_(std::exp(-1.0 / memory)), cells_(contexts * positions) {}

size_t AcceptanceTable::cell(size_t context, size_t position) const {
    return context * positions_ + std::min(position, positions_ - 1);
}

void AcceptanceTable::observe(size_t context, size_t position, bool accepted) {
    Cell& c = cells_[cell(context, position)];
    c.accepted = c.accepted * decay_ + (accepted ? 1.0 : 0.0);
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

}  // namespace dynexec
