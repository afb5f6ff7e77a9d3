// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dynexec {

// How often the draft token at a position was accepted, given that all draft tokens before it were accepted. Separate
// for each context (for example, the length of the n-gram match). Old observations fade.
class AcceptanceTable {
public:
    // `memory`: number of observations after which the weight of an old one has fallen to 1/e.
    AcceptanceTable(size_t contexts, size_t positions, double memory);

    // A table for the observations of many requests.
    static AcceptanceTable over_requests(size_t contexts, size_t positions);

    // `accepted`: 0 or 1, or the probability of acceptance if only that is known.
    void observe(size_t context, size_t position, double accepted);
    // Posterior mean under a prior that counts as `weight` observations with the mean `prior`. Positions after the
    // last one share its estimate.
    double estimate(size_t context, size_t position, double prior, double weight) const;
    void forget(double factor);  // scales down the weight of all observations

    // The weights of accepted and of all observations, [contexts, positions, 2], to be stored.
    std::vector<double> values() const;
    // Throws std::invalid_argument if they cannot be those of a table of this size.
    void set_values(const std::vector<double>& values);

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

// Running estimate for one text, from its recent past and the observations of earlier requests.
class RunningAcceptance {
public:
    explicit RunningAcceptance(AcceptanceTable& over_requests);

    // Scores `guessed` against the `n` tokens that followed. Returns the number of tokens before the first difference.
    size_t score(size_t context, const std::vector<int64_t>& guessed, const int64_t* came, size_t n);
    void observe(size_t context, size_t position, double accepted);
    // `prior`, which counts as `weight` observations, is the estimate before the first observation.
    double estimate(size_t context, size_t position, double prior, double weight) const;

private:
    AcceptanceTable* over_requests_;
    AcceptanceTable here_;
};

}  // namespace dynexec
