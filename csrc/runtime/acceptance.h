// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dynexec {

// How often the draft token at a position was accepted, given that all before it were, kept apart by context (say, the
// length of the n-gram match). Old observations fade.
class AcceptanceTable {
public:
    // `memory`: observations after which the weight of an old one has fallen to 1/e.
    AcceptanceTable(size_t contexts, size_t positions, double memory);

    // A table for what is learned over many requests.
    static AcceptanceTable over_requests(size_t contexts, size_t positions);

    // `accepted`: 0 or 1, or how probable it was where that is all that is known.
    void observe(size_t context, size_t position, double accepted);
    // Posterior mean under a prior worth `weight` observations of mean `prior`. Positions behind the last share it.
    double estimate(size_t context, size_t position, double prior, double weight) const;
    void forget(double factor);  // scales down the weight of everything seen

    size_t contexts() const { return cells_.size() / positions_; }
    size_t positions() const { return positions_; }

private:
    struct Cell {
        double accepted = 0.0;
        double seen = 0.0;
    };
    size_t cell(size_t context, size_t position) const;

    size_t positions_;
    double decay_;
    std::vector<Cell> cells_;
};

// Running estimate for one text: its own recent past, leaning on what earlier requests have shown.
class RunningAcceptance {
public:
    explicit RunningAcceptance(AcceptanceTable& over_requests);

    // Scores `guessed` against the `n` tokens that came; returns how many agree before the first that does not.
    size_t score(size_t context, const std::vector<int64_t>& guessed, const int64_t* came, size_t n);
    void observe(size_t context, size_t position, double accepted);
    // `prior`, worth `weight` observations, is believed before anything was seen.
    double estimate(size_t context, size_t position, double prior, double weight) const;

private:
    AcceptanceTable* over_requests_;
    AcceptanceTable here_;
};

}  // namespace dynexec
