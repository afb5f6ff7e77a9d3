// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <array>
#include <cstddef>

namespace dynexec {

// How long passes of one model took: running means (exponential, the latest counts a quarter) by the size of a pass,
// in rows times places, to the power of two.
class PassTimes {
public:
    void saw(size_t size, double seconds);
    // Seconds that a pass of this size will take: those of the nearest size known, in proportion; 0 if none is.
    double estimate(size_t size) const;
    // A pass of this size was not begun for what it was thought to take. The estimate shrinks a little, so that one
    // that was once too slow is tried again.
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
