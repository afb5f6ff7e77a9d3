// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "encoder/encoder.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>

#include "bindings/bindings.h"

namespace py = pybind11;

namespace {

using namespace dynexec;

py::list outputs_of(const EncoderResult& result) {
    py::list outputs;
    for (size_t i = 0; i < result.outputs.size(); ++i) {
        py::array_t<float> array(std::vector<py::ssize_t>(result.shapes[i].begin(), result.shapes[i].end()));
        if (!result.outputs[i].empty()) {
            std::memcpy(array.mutable_data(), result.outputs[i].data(), result.outputs[i].size() * sizeof(float));
        }
        outputs.append(std::move(array));
    }
    return outputs;
}

std::vector<EncoderResult> run(EncoderRun& run, Encoder& encoder, size_t batch_size, size_t max_waiting, bool finish) {
    py::gil_scoped_release release;
    std::lock_guard<std::mutex> lock(encoder.mutex());
    return run.run(batch_size, max_waiting, finish);
}

// A run, and the encoder that it needs to lock.
struct BoundRun {
    std::shared_ptr<Encoder> encoder;
    EncoderRun run;
    BoundRun(std::shared_ptr<Encoder> of, const EncoderParams& params)
        : encoder(std::move(of)), run(*encoder, params) {}
};

}  // namespace

void bind_encoder(py::module_& m) {
    m.def("answer_names", &answer_names);

    py::class_<EncoderParams>(m, "EncoderParams")
        .def(py::init<>())
        .def_readwrite("criterion", &EncoderParams::criterion)
        .def_readwrite("thresholds", &EncoderParams::thresholds)
        .def_readwrite("deadline_seconds", &EncoderParams::deadline_seconds)
        .def_property(
            "weights", [](const EncoderParams& params) { return params.weights.weights; },
            [](EncoderParams& params, std::vector<std::vector<double>> weights) {
                params.weights.weights = std::move(weights);
            })
        .def_property(
            "bias", [](const EncoderParams& params) { return params.weights.bias; },
            [](EncoderParams& params, std::vector<double> bias) { params.weights.bias = std::move(bias); });
    py::class_<EncoderResult>(m, "EncoderResult")
        .def_readonly("index", &EncoderResult::index)
        .def_readonly("exit", &EncoderResult::exit)
        .def_readonly("confidence", &EncoderResult::confidence)
        .def_property_readonly("outputs", &outputs_of);
    py::class_<EncoderStats>(m, "EncoderStats")
        .def_readonly("rows", &EncoderStats::rows)
        .def_readonly("passes", &EncoderStats::passes)
        .def_readonly("places", &EncoderStats::places)
        .def_readonly("exits", &EncoderStats::exits)
        .def_readonly("out_of_time", &EncoderStats::out_of_time)
        .def_readonly("segment_seconds", &EncoderStats::segment_seconds)
        .def_readonly("head_seconds", &EncoderStats::head_seconds)
        .def_readonly("total_seconds", &EncoderStats::total_seconds);

    py::class_<EncoderSpec::Exit>(m, "EncoderExit")
        .def(py::init([](const ov::CompiledModel& head, size_t segment) { return EncoderSpec::Exit{head, segment}; }),
             py::arg("head"), py::arg("segment"));
    py::class_<EncoderSpec>(m, "EncoderSpec")
        .def(py::init<>())
        .def_readwrite("segments", &EncoderSpec::segments)
        .def_readwrite("exits", &EncoderSpec::exits)
        .def_readwrite("sequence_inputs", &EncoderSpec::sequence_inputs)
        .def_readwrite("hidden_states_are_sequences", &EncoderSpec::hidden_states_are_sequences)
        .def_readwrite("outputs_are_sequences", &EncoderSpec::outputs_are_sequences)
        .def_readwrite("answer", &EncoderSpec::answer);
    py::class_<Encoder, std::shared_ptr<Encoder>>(m, "Encoder")
        .def(py::init<const EncoderSpec&>(), py::arg("spec"))
        .def_property_readonly("num_segments", &Encoder::num_segments)
        .def_property_readonly("num_exits", &Encoder::num_exits)
        .def_property_readonly("inputs", &Encoder::inputs)
        .def_property_readonly("outputs", &Encoder::outputs);
    py::class_<BoundRun>(m, "EncoderRun")
        .def(py::init<std::shared_ptr<Encoder>, const EncoderParams&>(), py::arg("encoder"), py::arg("params"))
        .def(
            "push",
            [](BoundRun& self, const std::map<std::string, ov::Tensor>& inputs) {
                py::gil_scoped_release release;
                self.run.push(inputs);
            },
            py::arg("inputs"))
        .def(
            "run",
            [](BoundRun& self, size_t batch_size, size_t max_waiting, bool finish) {
                return run(self.run, *self.encoder, batch_size, max_waiting, finish);
            },
            py::arg("batch_size"), py::arg("max_waiting"), py::arg("finish"))
        .def_property_readonly("waiting", [](const BoundRun& self) { return self.run.waiting(); })
        .def_property_readonly("stats", [](const BoundRun& self) { return self.run.stats(); });
}
