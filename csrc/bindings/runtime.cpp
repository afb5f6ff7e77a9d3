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

// Python callables as callbacks: each takes the GIL for as long as it runs.
Callbacks make_callbacks(const py::object& process_logits, const py::object& should_stop, const py::object& forced) {
    Callbacks callbacks;
    if (!process_logits.is_none()) {
        callbacks.process_logits = [&process_logits](const Sequence& sequence, float* logits, size_t vocab) {
            py::gil_scoped_acquire gil;
            // A view without an owner would be copied: the base keeps it a view.
            const py::array_t<float> row(static_cast<py::ssize_t>(vocab), logits, py::none());
            process_logits(sequence.index, tokens_of(sequence), row);
        };
    }
    if (!should_stop.is_none()) {
        callbacks.should_stop = [&should_stop](const Sequence& sequence) {
            py::gil_scoped_acquire gil;
            return should_stop(sequence.index, tokens_of(sequence)).cast<bool>();
        };
    }
    if (!forced.is_none()) {
        callbacks.forced = [&forced](const Sequence& sequence) {
            py::gil_scoped_acquire gil;
            return forced(sequence.index, tokens_of(sequence)).cast<std::vector<int64_t>>();
        };
    }
    return callbacks;
}

// A Python callable that the loop calls, and the last of its threads drops.
std::function<size_t(const Sequence&)> make_count_allowed(const py::object& count_allowed) {
    if (count_allowed.is_none()) return nullptr;
    const std::shared_ptr<const py::object> function(new py::object(count_allowed), [](const py::object* held) {
        py::gil_scoped_acquire gil;
        delete held;
    });
    return [function](const Sequence& sequence) {
        py::gil_scoped_acquire gil;
        return (*function)(sequence.index, tokens_of(sequence), sequence.draft.tokens).cast<size_t>();
    };
}

Hooks make_hooks(const py::object& process_logits, const py::object& should_stop, const py::object& forced,
                 const py::object& on_tokens) {
    Hooks hooks;
    hooks.callbacks = make_callbacks(process_logits, should_stop, forced);
    if (!on_tokens.is_none()) {
        hooks.on_tokens = [&on_tokens](const Sequence& sequence, const std::vector<int64_t>& tokens) {
            py::gil_scoped_acquire gil;
            on_tokens(sequence.index, tokens);
        };
    }
    hooks.poll = [] {
        py::gil_scoped_acquire gil;
        if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    };
    return hooks;
}

// Calls a function while nobody else touches `owner`. Whoever holds its mutex may be waiting for the GIL.
template <typename Owner, typename Function>
auto alone(Owner& owner, const Function& function) {
    py::gil_scoped_release release;
    const std::lock_guard lock(owner.mutex());
    return function();
}

// A property of a model that a decode loop may be changing.
template <typename Function>
auto when_alone(const Function& function) {
    return [function](PagedModel& model) { return alone(model, [&] { return function(model); }); };
}

py::object generate(DecodeLoop& loop, std::vector<SequenceRequest> requests, const SpeculationParams& speculation,
                    std::shared_ptr<SpeculationMemory> memory, const py::object& process_logits,
                    const py::object& should_stop, const py::object& on_tokens,
                    const std::optional<EarlyExitParams>& early_exit, const py::object& forced,
                    const py::object& count_allowed) {
    const Hooks hooks = make_hooks(process_logits, should_stop, forced, on_tokens);
    CallParams params;
    params.speculation = speculation;
    params.memory = std::move(memory);
    params.early_exit = early_exit;
    params.count_allowed = make_count_allowed(count_allowed);
    GenerationResult result;
    {
        py::gil_scoped_release release;
        result = loop.generate(std::move(requests), std::move(params), hooks);
    }
    return py::cast(std::move(result));
}

std::shared_ptr<Call> submit(DecodeLoop& loop, std::vector<SequenceRequest> requests,
                             const SpeculationParams& speculation, const std::shared_ptr<Outbox>& outbox,
                             std::shared_ptr<SpeculationMemory> memory, bool callbacks,
                             const std::optional<EarlyExitParams>& early_exit, std::optional<double> max_time,
                             const py::object& count_allowed) {
    CallParams params;
    params.speculation = speculation;
    params.memory = std::move(memory);
    params.early_exit = early_exit;
    params.callbacks = callbacks;
    params.count_allowed = make_count_allowed(count_allowed);
    params.streams = true;
    // More than a year is no limit, and would overflow.
    if (max_time && *max_time < 3e7) {
        params.deadline =
            Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(*max_time));
    }
    py::gil_scoped_release release;
    return loop.submit(std::move(requests), std::move(params), outbox);
}

// The message of what went wrong in a call.
std::optional<std::string> error_of(const Event& event) {
    if (event.error == nullptr) return std::nullopt;
    try {
        std::rethrow_exception(event.error);
    } catch (const std::exception& error) {
        return error.what();
    }
}

}  // namespace

void bind_runtime(py::module_& m) {
    py::enum_<FinishReason>(m, "FinishReason")
        .value("NONE", FinishReason::kNone)
        .value("LENGTH", FinishReason::kLength)
        .value("STOP", FinishReason::kStop)
        .value("CALLBACK", FinishReason::kCallback)
        .value("CANCELLED", FinishReason::kCancelled)
        .value("DEADLINE", FinishReason::kDeadline);

    py::class_<ProposerStats>(m, "ProposerStats")
        .def_readonly("name", &ProposerStats::name)
        .def_readonly("proposed", &ProposerStats::proposed)
        .def_readonly("accepted", &ProposerStats::accepted)
        .def_readonly("forwards", &ProposerStats::forwards);
    py::class_<Stats>(m, "Stats")
        .def_readonly("sequences", &Stats::sequences)
        .def_readonly("prompt_tokens", &Stats::prompt_tokens)
        .def_readonly("cached_tokens", &Stats::cached_tokens)
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
        .def_readwrite("draft_scope", &SequenceRequest::draft_scope)
        .def_readwrite("cache_salt", &SequenceRequest::cache_salt)
        .def_readwrite("logprobs", &SequenceRequest::logprobs);
    py::class_<RowLimits>(m, "RowLimits")
        .def(py::init([](size_t per_sequence, size_t least, std::optional<size_t> most, size_t attention) {
                 RowLimits limits{per_sequence, least, most.value_or(std::numeric_limits<size_t>::max()), attention};
                 validate(limits);
                 return limits;
             }),
             py::arg("per_sequence") = 1, py::arg("least") = 1, py::arg("most") = std::nullopt,
             py::arg("attention") = 1)
        .def_readonly("attention", &RowLimits::attention)
        .def_readonly("per_sequence", &RowLimits::per_sequence)
        .def_readonly("least", &RowLimits::least)
        .def_property_readonly("most", [](const RowLimits& limits) {
            return limits.most == std::numeric_limits<size_t>::max() ? std::nullopt : std::make_optional(limits.most);
        });
    py::class_<PagedModel, std::shared_ptr<PagedModel>>(m, "PagedModel")
        .def(py::init<const std::vector<ov::CompiledModel>&, size_t>(), py::arg("segments"),
             py::arg("max_cache_tokens") = 0)
        .def("warm_up", [](PagedModel& model) { alone(model, [&] { warm_up(model); }); })
        .def("profile", [](PagedModel& model) { alone(model, [&] { profile(model); }); })
        .def(
            "add_copiers",
            [](PagedModel& model, const std::vector<ov::CompiledModel>& copiers) {
                alone(model, [&] { model.add_copiers(copiers); });
            },
            py::arg("copiers"))
        .def(
            "keep_prefixes",
            [](PagedModel& model, size_t tokens) { alone(model, [&] { model.keep_prefixes(tokens); }); },
            py::arg("tokens"))
        .def("forget_prefixes",
             [](PagedModel& model) {
                 alone(model, [&] {
                     if (model.prefix_cache() != nullptr) model.prefix_cache()->clear();
                 });
             })
        .def_property_readonly("has_copiers", &PagedModel::has_copiers)
        .def_property_readonly("vocab_size", &PagedModel::vocab_size)
        .def_property_readonly("num_segments", &PagedModel::num_segments)
        .def_property_readonly("hidden_size", &PagedModel::hidden_size)
        .def_property_readonly("input_hidden_size", &PagedModel::input_hidden_size)
        .def_property_readonly("has_attention_rows", &PagedModel::has_attention_rows)
        .def_property(
            "row_limits", [](const PagedModel& model) { return model.row_limits(); },
            [](PagedModel& model, const RowLimits& limits) { alone(model, [&] { model.set_row_limits(limits); }); })
        .def_property_readonly("cache_limit", &PagedModel::cache_limit)
        .def_property_readonly("rows_run", when_alone([](PagedModel& model) { return model.rows_run(); }))
        .def_property_readonly("cache_bytes", when_alone([](PagedModel& model) { return model.cache_bytes(); }))
        .def_property_readonly("free_blocks", when_alone([](PagedModel& model) { return model.pool().available(); }))
        .def_property_readonly("num_blocks", when_alone([](PagedModel& model) { return model.pool().capacity(); }))
        .def_property_readonly("block_size", [](const PagedModel& model) { return model.pool().block_size(); })
        .def_property_readonly("costs", when_alone([](PagedModel& model) { return model.cost_model().points(); }))
        .def_property_readonly("switch_seconds",
                               when_alone([](PagedModel& model) { return model.cost_model().switch_seconds(); }));

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
        .def("forget_texts", [](SpeculationMemory& memory) { alone(memory, [&] { memory.texts().forget_all(); }); })
        .def(
            "add_to_corpus",
            [](SpeculationMemory& memory, const std::vector<int64_t>& tokens) {
                alone(memory, [&] { memory.texts().add_to_corpus(tokens.data(), tokens.size()); });
            },
            py::arg("tokens"))
        .def(
            "restore",
            [](SpeculationMemory& memory, const std::string& name, const Doubles& values) {
                if (values.ndim() != 3 || values.shape(2) != 2) {
                    throw std::invalid_argument("The values must have the shape [contexts, positions, 2]");
                }
                const std::vector<double> found(values.data(), values.data() + values.size());
                const auto contexts = static_cast<size_t>(values.shape(0));
                const auto positions = static_cast<size_t>(values.shape(1));
                alone(memory, [&] {
                    // Calls that run may be using a table that exists.
                    const auto known = memory.tables().find(name);
                    if (known != memory.tables().end() &&
                        (known->second.contexts() != contexts || known->second.positions() != positions)) {
                        throw std::invalid_argument("The values have another shape than the table '" + name + "'");
                    }
                    memory.acceptance(name, contexts, positions).set_values(found);
                });
            },
            py::arg("name"), py::arg("values"))
        .def_property_readonly("observations",
                               [](SpeculationMemory& memory) {
                                   const auto tables = alone(memory, [&] { return memory.tables(); });
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
            return alone(memory, [&] { return memory.texts().num_tokens(); });
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

    py::class_<Call, std::shared_ptr<Call>>(m, "Call")
        .def_readonly("id", &Call::id)
        .def_readonly("stats", &Call::stats);
    py::class_<Event> event(m, "Event");
    py::enum_<Event::Kind>(event, "Kind")
        .value("TOKENS", Event::Kind::kTokens)
        .value("DECIDE", Event::Kind::kDecide)
        .value("CLOSED", Event::Kind::kClosed);
    event.def_readonly("call", &Event::call)
        .def_readonly("kind", &Event::kind)
        .def_readonly("tokens", &Event::tokens)
        .def_property_readonly("logprobs",
                               [](const Event& made) {
                                   py::list found;
                                   for (const Logprobs& logprobs : made.logprobs) {
                                       py::list top;
                                       for (const auto& [token, logprob] : logprobs.top) {
                                           top.append(py::make_tuple(token, logprob));
                                       }
                                       found.append(py::make_tuple(logprobs.chosen.logprob, top));
                                   }
                                   return found;
                               })
        .def_readonly("finish_reason", &Event::finish_reason)
        .def_property_readonly("row",
                               [](const Event& made) {
                                   return made.sequence == nullptr ? std::nullopt
                                                                   : std::make_optional(made.sequence->index);
                               })
        .def_property_readonly("error", &error_of);
    py::class_<Outbox, std::shared_ptr<Outbox>>(m, "Outbox")
        .def(py::init<>())
        .def(
            "take",
            [](Outbox& outbox, double timeout) {
                py::gil_scoped_release release;
                return outbox.take(std::chrono::milliseconds(static_cast<int64_t>(1000.0 * timeout)));
            },
            py::arg("timeout"));
    py::class_<LoopStats>(m, "LoopStats")
        .def_readonly("running", &LoopStats::running)
        .def_readonly("waiting", &LoopStats::waiting)
        .def_readonly("steps", &LoopStats::steps)
        .def_readonly("tokens", &LoopStats::tokens)
        .def_readonly("preemptions", &LoopStats::preemptions)
        .def_readonly("prefix_queries", &LoopStats::prefix_queries)
        .def_readonly("prefix_hits", &LoopStats::prefix_hits)
        .def_readonly("used_blocks", &LoopStats::used_blocks);
    py::class_<DecodeLoop>(m, "DecodeLoop", py::release_gil_before_calling_cpp_dtor())
        .def(py::init<PagedModel&, size_t, size_t>(), py::arg("target"), py::arg("max_batch_tokens"),
             py::arg("max_running") = DecodeLoop::kMaxRunning, py::keep_alive<1, 2>())
        .def("generate", &generate, py::arg("requests"), py::arg("speculation"), py::arg("memory") = nullptr,
             py::arg("process_logits") = py::none(), py::arg("should_stop") = py::none(),
             py::arg("on_tokens") = py::none(), py::arg("early_exit") = py::none(), py::arg("forced") = py::none(),
             py::arg("count_allowed") = py::none())
        .def("submit", &submit, py::arg("requests"), py::arg("speculation"), py::arg("outbox"),
             py::arg("memory") = nullptr, py::arg("callbacks") = false, py::arg("early_exit") = py::none(),
             py::arg("max_time") = py::none(), py::arg("count_allowed") = py::none(), py::keep_alive<0, 1>())
        .def("cancel", &DecodeLoop::cancel, py::arg("call"), py::call_guard<py::gil_scoped_release>())
        .def(
            "answer",
            [](DecodeLoop& loop, const Event& asked, const py::object& process_logits, const py::object& should_stop,
               const py::object& forced) {
                const Callbacks callbacks = make_callbacks(process_logits, should_stop, forced);
                py::gil_scoped_release release;
                loop.answer(asked, callbacks);
            },
            py::arg("event"), py::arg("process_logits") = py::none(), py::arg("should_stop") = py::none(),
            py::arg("forced") = py::none())
        .def_property_readonly("stats", &DecodeLoop::stats);
}
