// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <vector>

namespace dynexec {

// Running estimate of P(draft token at a position is accepted | all before it were), kept apart by context (say, the
// length of the n-gram match). Old observations fade, so that the estimate follows the text.
class AcceptanceTable {
public:
    // `memory`: observations after which the weight of an old one has fallen to 1/e.
    AcceptanceTable(size_t contexts, size_t positions, double memory);

    void observe(size_t context, size_t position, bool accepted);
    // Posterior mean under a prior worth `weight` observations of mean `prior`.
    double estimate(size_t context, size_t position, double prior, double weight) const;
    void forget(double factor);  // scales down the weight of everything seen

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

}  // namespace dynexec
