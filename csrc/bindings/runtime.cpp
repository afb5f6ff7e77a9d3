// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings/bindings.h"
#include "runtime/decode_loop.h"
#include "runtime/lookahead.h"
#include "runtime/profiling.h"

namespace py = pybind11;

namespace {

using namespace dynexec;

using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;

py::array_t<int64_t> tokens_of(const Sequence& sequence) {
    return py::array_t<int64_t>(static_cast<py::ssize_t>(sequence.tokens.size()), sequence.tokens.data());
}

// Python callables as hooks: each takes the GIL for as long as it runs.
Hooks make_hooks(const py::object& process_logits, const py::object& should_stop, const py::object& on_tokens) {
    Hooks hooks;
    if (!process_logits.is_none()) {
        hooks.process_logits = [&process_logits](const Sequence& sequence, float* logits, size_t vocab) {
            py::gil_scoped_acquire gil;
            // A view without an owner would be copied: the base keeps it a view.
            const py::array_t<float> row(static_cast<py::ssize_t>(vocab), logits, py::none());
            process_logits(sequence.index, tokens_of(sequence), row);
        };
    }
    if (!should_stop.is_none()) {
        hooks.should_stop = [&should_stop](const Sequence& sequence) {
            py::gil_scoped_acquire gil;
            return should_stop(sequence.index, tokens_of(sequence)).cast<bool>();
        };
    }
    if (!on_tokens.is_none()) {
        hooks.on_tokens = [&on_tokens](const Sequence& sequence, size_t n) {
            py::gil_scoped_acquire gil;
            on_tokens(sequence.index, std::vector<int64_t>(sequence.tokens.end() - static_cast<std::ptrdiff_t>(n),
                                                           sequence.tokens.end()));
        };
    }
    hooks.poll = [] {
        py::gil_scoped_acquire gil;
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    };
    return hooks;
}

auto locked(void (*function)(PagedModel&)) {
    return [function](PagedModel& model) {
        py::gil_scoped_release release;
        std::lock_guard<std::mutex> lock(model.mutex());
        function(model);
    };
}

py::object generate(DecodeLoop& loop, const std::vector<SequenceRequest>& requests,
                    const SpeculationParams& speculation, SpeculationMemory* memory, const py::object& process_logits,
                    const py::object& should_stop, const py::object& on_tokens, const EarlyExitParams* early_exit) {
    const Hooks hooks = make_hooks(process_logits, should_stop, on_tokens);
    GenerationResult result;
    SpeculationMemory of_this_call;
    {
        py::gil_scoped_release release;
        result = loop.generate(requests, speculation, memory == nullptr ? of_this_call : *memory, hooks, early_exit);
    }
    return py::cast(std::move(result));
}

}  // namespace

void bind_runtime(py::module_& m) {
    py::enum_<FinishReason>(m, "FinishReason")
        .value("NONE", FinishReason::kNone)
        .value("LENGTH", FinishReason::kLength)
        .value("STOP", FinishReason::kStop)
        .value("CALLBACK", FinishReason::kCallback);

    py::class_<ProposerStats>(m, "ProposerStats")
        .def_readonly("name", &ProposerStats::name)
        .def_readonly("proposed", &ProposerStats::proposed)
        .def_readonly("accepted", &ProposerStats::accepted)
        .def_readonly("forwards", &ProposerStats::forwards);
    py::class_<Stats>(m, "Stats")
        .def_readonly("sequences", &Stats::sequences)
        .def_readonly("prompt_tokens", &Stats::prompt_tokens)
        .def_readonly("tokens", &Stats::tokens)
        .def_readonly("target_forwards", &Stats::target_forwards)
        .def_readonly("prefill_forwards", &Stats::prefill_forwards)
        .def_readonly("verifications", &Stats::verifications)
        .def_readonly("drafted_verifications", &Stats::drafted_verifications)
        .def_readonly("accepted_histogram", &Stats::accepted_histogram)
        .def_readonly("exit_histogram", &Stats::exit_histogram)
        .def_readonly("exit_head_seconds", &Stats::exit_head_seconds)
        .def_readonly("proposers", &Stats::proposers)
        .def_readonly("total_seconds", &Stats::total_seconds)
        .def_readonly("prefill_seconds", &Stats::prefill_seconds)
        .def_readonly("propose_seconds", &Stats::propose_seconds)
        .def_readonly("run_seconds", &Stats::run_seconds)
        .def_readonly("decide_seconds", &Stats::decide_seconds)
        .def_readonly("time_to_first_token", &Stats::time_to_first_token);
    py::class_<GenerationResult>(m, "GenerationResult")
        .def_readonly("tokens", &GenerationResult::tokens)
        .def_readonly("finish_reasons", &GenerationResult::finish_reasons)
        .def_readonly("stats", &GenerationResult::stats);

    py::class_<SequenceRequest>(m, "SequenceRequest")
        .def(py::init<>())
        .def_readwrite("prompt", &SequenceRequest::prompt)
        .def_readwrite("logits", &SequenceRequest::logits)
        .def_readwrite("max_new_tokens", &SequenceRequest::max_new_tokens)
        .def_readwrite("eos_token_ids", &SequenceRequest::eos_token_ids)
        .def_readwrite("seed", &SequenceRequest::seed)
        .def_readwrite("draft_scope", &SequenceRequest::draft_scope);
    py::class_<RowLimits>(m, "RowLimits")
        .def(py::init([](size_t per_sequence, size_t least, std::optional<size_t> most) {
                 RowLimits limits{per_sequence, least, most.value_or(std::numeric_limits<size_t>::max())};
                 validate(limits);
                 return limits;
             }),
             py::arg("per_sequence") = 1, py::arg("least") = 1, py::arg("most") = std::nullopt)
        .def_readonly("per_sequence", &RowLimits::per_sequence)
        .def_readonly("least", &RowLimits::least)
        .def_property_readonly("most", [](const RowLimits& limits) {
            return limits.most == std::numeric_limits<size_t>::max() ? std::nullopt : std::make_optional(limits.most);
        });
    py::class_<PagedModel, std::shared_ptr<PagedModel>>(m, "PagedModel")
        .def(py::init<const std::vector<ov::CompiledModel>&, size_t>(), py::arg("segments"),
             py::arg("max_cache_tokens") = 0)
        .def("warm_up", locked(&warm_up))
        .def("profile", locked(&profile))
        .def(
            "add_copiers",
            [](PagedModel& model, const std::vector<ov::CompiledModel>& copiers) {
                py::gil_scoped_release release;
                std::lock_guard<std::mutex> lock(model.mutex());
                model.add_copiers(copiers);
            },
            py::arg("copiers"))
        .def_property_readonly("has_copiers", &PagedModel::has_copiers)
        .def_property_readonly("vocab_size", &PagedModel::vocab_size)
        .def_property_readonly("num_segments", &PagedModel::num_segments)
        .def_property_readonly("hidden_size", &PagedModel::hidden_size)
        .def_property_readonly("input_hidden_size", &PagedModel::input_hidden_size)
        .def_property(
            "row_limits", [](const PagedModel& model) { return model.row_limits(); },
            [](PagedModel& model, const RowLimits& limits) {
                py::gil_scoped_release release;
                std::lock_guard<std::mutex> lock(model.mutex());
                model.set_row_limits(limits);
            })
        .def_property_readonly("cache_limit", &PagedModel::cache_limit)
        .def_property_readonly("rows_run", &PagedModel::rows_run)
        .def_property_readonly("cache_bytes", &PagedModel::cache_bytes)
        .def_property_readonly("free_blocks", [](const PagedModel& model) { return model.pool().available(); })
        .def_property_readonly("num_blocks", [](const PagedModel& model) { return model.pool().capacity(); })
        .def_property_readonly("block_size", [](const PagedModel& model) { return model.pool().block_size(); })
        .def_property_readonly("costs", [](const PagedModel& model) { return model.cost_model().points(); })
        .def_property_readonly("switch_seconds",
                               [](const PagedModel& model) { return model.cost_model().switch_seconds(); });

    py::class_<DraftVocabulary, std::shared_ptr<DraftVocabulary>>(m, "DraftVocabulary")
        .def(py::init<std::vector<int64_t>, const std::vector<std::vector<int64_t>>&>(), py::arg("token_ids"),
             py::arg("spellings") = std::vector<std::vector<int64_t>>())
        .def("__len__", &DraftVocabulary::size)
        .def(
            "spell",
            [](const DraftVocabulary& vocabulary, int64_t token) {
                std::vector<int64_t> words;
                vocabulary.spell(token, words);
                return words;
            },
            py::arg("token"))
        .def_property_readonly("token_ids", &DraftVocabulary::token_ids);
    py::class_<Head, std::shared_ptr<Head>>(m, "Head")
        .def(py::init([](std::shared_ptr<PagedModel> model, std::vector<int64_t> token_ids,
                         const std::optional<std::vector<double>>& weights) {
                 auto stop_classifier = weights ? std::make_optional<StopClassifier>(*weights) : std::nullopt;
                 return std::make_shared<Head>(std::move(model), std::move(token_ids), std::move(stop_classifier));
             }),
             py::arg("paged_model"), py::arg("token_ids"), py::arg("stop_classifier") = std::nullopt)
        .def_property_readonly("token_ids", [](const Head& head) { return head.vocabulary().token_ids(); });
    py::class_<Exit>(m, "Exit").def(
        py::init([](std::shared_ptr<const Head> head, size_t segment) { return Exit{std::move(head), segment}; }),
        py::arg("head"), py::arg("segment"));
    py::class_<ProposerParams>(m, "ProposerParams")
        .def(py::init([](std::string name, std::shared_ptr<PagedModel> model,
                         std::shared_ptr<const DraftVocabulary> vocabulary, std::shared_ptr<const Head> head,
                         size_t segment, std::map<std::string, double> options, std::string memory) {
                 return ProposerParams{std::move(name), std::move(model),   std::move(vocabulary), std::move(head),
                                       segment,         std::move(options), std::move(memory)};
             }),
             py::arg("name"), py::kw_only(), py::arg("model") = nullptr, py::arg("vocabulary") = nullptr,
             py::arg("head") = nullptr, py::arg("segment") = 0, py::arg("options") = std::map<std::string, double>(),
             py::arg("memory") = "")
        .def_readonly("name", &ProposerParams::name);
    m.def("proposer_names", &proposer_names);
    py::class_<SpeculationParams>(m, "SpeculationParams")
        .def(py::init<>())
        .def_readwrite("proposers", &SpeculationParams::proposers)
        .def_readwrite("assistant_confidence_threshold", &SpeculationParams::assistant_confidence_threshold)
        .def_readwrite("lookahead", &SpeculationParams::lookahead)
        .def_readwrite("num_assistant_tokens", &SpeculationParams::num_assistant_tokens);
    py::class_<SpeculationMemory, std::shared_ptr<SpeculationMemory>>(m, "SpeculationMemory")
        .def(py::init<>())
        .def("forget_texts",
             [](SpeculationMemory& memory) {
                 py::gil_scoped_release release;
                 std::lock_guard<std::mutex> lock(memory.mutex());
                 memory.texts().forget_all();
             })
        .def(
            "add_to_corpus",
            [](SpeculationMemory& memory, const std::vector<int64_t>& tokens) {
                py::gil_scoped_release release;
                std::lock_guard<std::mutex> lock(memory.mutex());
                memory.texts().add_to_corpus(tokens.data(), tokens.size());
            },
            py::arg("tokens"))
        .def(
            "restore",
            [](SpeculationMemory& memory, const std::string& name, const Doubles& values) {
                if (values.ndim() != 3 || values.shape(2) != 2) {
                    throw std::invalid_argument("The values must have the shape [contexts, positions, 2]");
                }
                const std::vector<double> found(values.data(), values.data() + values.size());
                py::gil_scoped_release release;
                std::lock_guard<std::mutex> lock(memory.mutex());
                memory.acceptance(name, static_cast<size_t>(values.shape(0)), static_cast<size_t>(values.shape(1)))
                    .set_values(found);
            },
            py::arg("name"), py::arg("values"))
        .def_property_readonly("observations",
                               [](SpeculationMemory& memory) {
                                   // A call that holds the mutex may wait for the GIL.
                                   std::map<std::string, AcceptanceTable> tables;
                                   {
                                       py::gil_scoped_release release;
                                       std::lock_guard<std::mutex> lock(memory.mutex());
                                       tables = memory.tables();
                                   }
                                   py::dict found;
                                   for (const auto& [name, table] : tables) {
                                       const auto values = table.values();
                                       py::array_t<double> array({table.contexts(), table.positions(), size_t{2}});
                                       std::copy(values.begin(), values.end(), array.mutable_data());
                                       found[py::str(name)] = array;
                                   }
                                   return found;
                               })
        .def_property_readonly("text_tokens", [](SpeculationMemory& memory) {
            py::gil_scoped_release release;
            std::lock_guard<std::mutex> lock(memory.mutex());
            return memory.texts().num_tokens();
        });
    m.def("lookahead_names", &lookahead_names);
    py::class_<EarlyExitParams>(m, "EarlyExitParams")
        .def(py::init<>())
        .def_readwrite("exits", &EarlyExitParams::exits)
        .def_readwrite("criterion", &EarlyExitParams::criterion)
        .def_readwrite("thresholds", &EarlyExitParams::thresholds)
        .def_property(
            "weights", [](const EarlyExitParams& params) { return params.weights.weights; },
            [](EarlyExitParams& params, std::vector<std::vector<double>> weights) {
                params.weights.weights = std::move(weights);
            })
        .def_property(
            "bias", [](const EarlyExitParams& params) { return params.weights.bias; },
            [](EarlyExitParams& params, std::vector<double> bias) { params.weights.bias = std::move(bias); })
        .def_readwrite("prefill", &EarlyExitParams::prefill)
        .def_readwrite("copy_kv", &EarlyExitParams::copy_kv);

    py::class_<DecodeLoop>(m, "DecodeLoop")
        .def(py::init<PagedModel&, size_t>(), py::arg("target"), py::arg("max_batch_tokens"), py::keep_alive<1, 2>())
        .def("generate", &generate, py::arg("requests"), py::arg("speculation"), py::arg("memory") = nullptr,
             py::arg("process_logits") = py::none(), py::arg("should_stop") = py::none(),
             py::arg("on_tokens") = py::none(), py::arg("early_exit") = py::none());
}
