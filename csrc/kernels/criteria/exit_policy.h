// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "kernels/criteria/criterion.h"

namespace dynexec {

// A criterion with a threshold for each exit, in order of depth. With an infinite threshold, nothing exits.
class ExitPolicy {
public:
    // Throws std::invalid_argument for an unknown criterion, or weights that do not fit it.
    ExitPolicy(const std::string& criterion, const CriterionWeights& weights, std::vector<double> thresholds);

    const Criterion& criterion() const { return *criterion_; }
    // Whether the exit must be evaluated: something may exit there, or a later exit uses its view.
    bool asks(size_t exit) const;
    // Whether an input that has passed `exits` exits at the last of them, which is the exit with the index
    // `exits.size() - 1`.
    bool leaves(const std::vector<ExitView>& exits, size_t position) const;

private:
    std::unique_ptr<Criterion> criterion_;
    std::vector<double> thresholds_;
    size_t deepest_ = 0;  // exits up to the last one where something may exit
};

}  // namespace dynexec
