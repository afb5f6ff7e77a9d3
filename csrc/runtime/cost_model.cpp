// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "runtime/cost_model.h"

#include <algorithm>
#include <stdexcept>

namespace dynexec {

void CostModel::set(std::vector<std::pair<size_t, double>> points) {
    for (size_t i = points.size(); i-- > 1;) points[i - 1].second = std::min(points[i - 1].second, points[i].second);
    points_ = std::move(points);
}

double CostModel::seconds(size_t rows) const {
    if (points_.empty()) throw std::logic_error("CostModel: nothing was measured");
    if (points_.size() == 1) return points_[0].second;
    size_t i = 1;
    while (i + 1 < points_.size() && points_[i].first < rows) ++i;
    const auto [x0, y0] = points_[i - 1];
    const auto [x1, y1] = points_[i];
    if (rows <= x0) return y0;
    return y0 + (y1 - y0) * static_cast<double>(rows - x0) / static_cast<double>(x1 - x0);
}

}  // namespace dynexec
