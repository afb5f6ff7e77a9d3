// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <array>
#include <cstddef>

namespace dynexec {

// The times of passes of one model: exponential running means, in which the latest pass counts a quarter, by the size
// of a pass (rows times positions, rounded to a power of two).
class PassTimes {
public:
    void saw(size_t size, double seconds);
    // Expected seconds of a pass of this size, in proportion to those of the nearest known size; 0 if no size is
    // known.
    double estimate(size_t size) const;
    // A pass of this size was not started because of its expected time. The estimate shrinks a little, so that a size
    // that was too slow once is tried again.
    void doubt(size_t size);

private:
    struct Mean {
        double seconds_per_place = 0.0;
        size_t passes = 0;
    };
    // The nearest size with an estimate, or sizes_.size().
    size_t nearest(size_t size) const;

    std::array<Mean, 64> sizes_;
};

}  // namespace dynexec
