// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cmath>

#include "bindings/bindings.h"
#include "kernels/criteria/criterion.h"
#include "kernels/logits_processors.h"
#include "kernels/logits_stats.h"
#include "kernels/ngram_index.h"
#include "kernels/sampling.h"
#include "kernels/stop_classifier.h"
#include "kernels/verification.h"

namespace py = pybind11;

namespace {

using Row = py::array_t<float, py::array::c_style | py::array::forcecast>;

size_t row_size(const Row& row) {
    if (row.ndim() != 1 || row.size() == 0) throw std::invalid_argument("expected a non-empty 1-d float32 array");
    return static_cast<size_t>(row.size());
}

}  // namespace

void bind_kernels(py::module_& m) {
    using namespace dynexec;

    py::class_<LogitsStats>(m, "LogitsStats")
        .def_readonly("argmax", &LogitsStats::argmax)
        .def_readonly("max", &LogitsStats::max)
        .def_readonly("logsumexp", &LogitsStats::logsumexp)
        .def_readonly("max_prob", &LogitsStats::max_prob)
        .def_readonly("margin", &LogitsStats::margin)
        .def_readonly("entropy", &LogitsStats::entropy);
    py::class_<ExitView>(m, "ExitView")
        .def(py::init([](const LogitsStats& stats, int64_t prediction, double certainty) {
                 return ExitView{stats, prediction, certainty};
             }),
             py::arg("stats"), py::arg("prediction"), py::arg("certainty") = std::nan(""));
    m.def("logits_stats", [](const Row& logits) { return logits_stats(logits.data(), row_size(logits)); });

    m.def("criterion_names", &criterion_names);
    m.def(
        "exit_scores",
        [](const std::string& name, const std::vector<ExitView>& exits, size_t position,
           const std::vector<std::vector<double>>& weights, const std::vector<double>& bias) {
            const auto criterion = make_criterion(name, {weights, bias});
            std::vector<double> scores;
            for (size_t n = 1; n <= exits.size(); ++n) {
                scores.push_back(
                    criterion->score({exits.begin(), exits.begin() + static_cast<std::ptrdiff_t>(n)}, position));
            }
            return scores;
        },
        py::arg("criterion"), py::arg("exits"), py::arg("position"),
        py::arg("weights") = std::vector<std::vector<double>>(), py::arg("bias") = std::vector<double>());

    py::class_<StopClassifier>(m, "StopClassifier")
        .def(py::init<const std::vector<double>&>(), py::arg("weights"))
        .def("accepted", &StopClassifier::accepted, py::arg("prob"), py::arg("entropy"), py::arg("position"));

    py::class_<LogitsParams>(m, "LogitsParams")
        .def(py::init<>())
        .def_readwrite("do_sample", &LogitsParams::do_sample)
        .def_readwrite("temperature", &LogitsParams::temperature)
        .def_readwrite("top_k", &LogitsParams::top_k)
        .def_readwrite("top_p", &LogitsParams::top_p)
        .def_readwrite("min_p", &LogitsParams::min_p)
        .def_readwrite("repetition_penalty", &LogitsParams::repetition_penalty)
        .def_readwrite("presence_penalty", &LogitsParams::presence_penalty)
        .def_readwrite("frequency_penalty", &LogitsParams::frequency_penalty)
        .def_readwrite("min_new_tokens", &LogitsParams::min_new_tokens)
        .def_readwrite("eos_token_ids", &LogitsParams::eos_token_ids)
        .def("is_identity", &LogitsParams::is_identity);
    m.def(
        "process_logits",
        [](const Row& logits, const LogitsParams& params, const std::vector<int64_t>& prompt,
           const std::vector<int64_t>& generated) {
            TokenCounts counts;
            counts.add_prompt(prompt.data(), prompt.size());
            for (const int64_t token : generated) counts.push(token);
            py::array_t<float> out(logits.size(), logits.data());
            process_logits(out.mutable_data(), row_size(logits), params, counts);
            return out;
        },
        py::arg("logits"), py::arg("params"), py::arg("prompt"), py::arg("generated"));

    py::class_<Rng>(m, "Rng")
        .def(py::init<uint64_t, uint64_t>(), py::arg("seed"), py::arg("stream") = 0)
        .def("uniform", &Rng::uniform);
    m.def("sample", [](const Row& weights, Rng& rng) { return sample(weights.data(), row_size(weights), rng); });
    m.def(
        "verify_sampled",
        [](int64_t proposed, const Row& p, const std::optional<Row>& q, Rng& rng) {
            if (proposed < 0 || static_cast<size_t>(proposed) >= row_size(p) || (q && q->size() != p.size())) {
                throw std::invalid_argument("`proposed` must be an index of `p`, and `q` must have the length of `p`");
            }
            const Decision decision = verify_sampled(proposed, p.data(), q ? q->data() : nullptr, row_size(p), rng);
            return py::make_tuple(decision.accepted, decision.token);
        },
        py::arg("proposed"), py::arg("p"), py::arg("q"), py::arg("rng"));

    py::class_<NGramIndex>(m, "NGramIndex")
        .def(py::init<size_t>(), py::arg("max_ngram"))
        .def("append", py::overload_cast<int64_t>(&NGramIndex::append))
        .def("propose", [](const NGramIndex& index, size_t k) {
            std::vector<int64_t> out;
            const auto match = index.longest_match();
            if (match.length > 0) index.propose(match, k, out);
            return py::make_tuple(match.length, out);
        });
}
