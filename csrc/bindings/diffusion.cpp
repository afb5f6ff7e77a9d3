// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "bindings/bindings.h"
#include "kernels/diffusion/combine.h"
#include "kernels/diffusion/cosine.h"
#include "kernels/diffusion/difference.h"

namespace py = pybind11;

namespace {

// Samples along the first axis.
using Samples = py::array_t<float, py::array::c_style | py::array::forcecast>;

struct Shape {
    size_t rows;
    size_t size;
};

Shape shape_of(const Samples& x) {
    if (x.ndim() < 1) throw std::invalid_argument("samples need at least one axis");
    const auto rows = static_cast<size_t>(x.shape(0));
    return {rows, rows == 0 ? 0 : static_cast<size_t>(x.size()) / rows};
}

Shape common_shape(const Samples& x, const Samples& y) {
    if (x.ndim() != y.ndim() || !std::equal(x.shape(), x.shape() + x.ndim(), y.shape())) {
        throw std::invalid_argument("`x` and `y` must have the same shape");
    }
    return shape_of(x);
}

py::array_t<double> difference(const Samples& x, const Samples& y) {
    const auto [rows, size] = common_shape(x, y);
    py::array_t<double> out({static_cast<py::ssize_t>(rows), py::ssize_t{3}});
    double* const result = out.mutable_data();
    const float* const a = x.data();
    const float* const b = y.data();
    {
        const py::gil_scoped_release release;
        for (size_t row = 0; row < rows; ++row) {
            const auto stats = dynexec::difference_stats(a + row * size, b + row * size, size);
            result[3 * row] = stats.squared_difference;
            result[3 * row + 1] = stats.absolute_difference;
            result[3 * row + 2] = stats.squared_norm;
        }
    }
    return out;
}

py::array_t<double> cosines(const Samples& x, const Samples& y) {
    const auto [rows, size] = common_shape(x, y);
    py::array_t<double> out(static_cast<py::ssize_t>(rows));
    double* const result = out.mutable_data();
    const float* const a = x.data();
    const float* const b = y.data();
    {
        const py::gil_scoped_release release;
        for (size_t row = 0; row < rows; ++row) result[row] = dynexec::cosine(a + row * size, b + row * size, size);
    }
    return out;
}

py::array_t<float> combination(const std::vector<Samples>& inputs, const std::vector<float>& weights) {
    if (inputs.empty() || inputs.size() != weights.size()) {
        throw std::invalid_argument("there must be at least one input, and one weight for each input");
    }
    std::vector<const float*> data;
    for (const Samples& input : inputs) {
        common_shape(inputs[0], input);
        data.push_back(input.data());
    }
    py::array_t<float> out(std::vector<py::ssize_t>(inputs[0].shape(), inputs[0].shape() + inputs[0].ndim()));
    float* const result = out.mutable_data();
    const auto size = static_cast<size_t>(out.size());
    {
        const py::gil_scoped_release release;
        dynexec::combine(data.data(), weights.data(), data.size(), result, size);
    }
    return out;
}

}  // namespace

void bind_diffusion(py::module_& m) {
    m.def("sample_differences", &difference, py::arg("x"), py::arg("y"),
          "For each sample: sum((x - y)^2), sum(|x - y|), sum(x^2).");
    m.def("sample_cosines", &cosines, py::arg("x"), py::arg("y"), "Cosine of each sample of x with that of y.");
    m.def("combine_samples", &combination, py::arg("inputs"), py::arg("weights"), "Weighted sum of arrays.");
}
