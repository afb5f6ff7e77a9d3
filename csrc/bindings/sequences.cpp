// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings/bindings.h"
#include "runtime/backbone.h"
#include "runtime/draft_head.h"

namespace py = pybind11;

namespace {

using namespace dynexec;

using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;

std::vector<float> hidden_states_of(const Floats& values, size_t rows, size_t hidden_size) {
    if (static_cast<size_t>(values.size()) != rows * hidden_size) {
        throw std::invalid_argument("hidden_states must have the shape (" + std::to_string(rows) + ", " +
                                    std::to_string(hidden_size) + ")");
    }
    return std::vector<float>(values.data(), values.data() + values.size());
}

// One sequence in the cache of a model, or of a head, driven step by step.
class CachedSequence {
public:
    explicit CachedSequence(std::shared_ptr<PagedModel> model) : model_(std::move(model)) {}
    ~CachedSequence() {
        // Whoever holds the mutex may be waiting for the GIL.
        py::gil_scoped_release release;
        const std::lock_guard lock(model_->mutex());
        table_.clear();
    }

    py::array_t<float> forward(const std::vector<int64_t>& ids, const std::optional<Floats>& hidden_states) {
        if (ids.empty()) throw std::invalid_argument("forward needs at least one token");
        py::array_t<float> out({ids.size(), model_->vocab_size()});
        float* const destination = out.mutable_data();
        FlatBatch batch;
        if (hidden_states) {
            batch.hidden_states = hidden_states_of(*hidden_states, ids.size(), model_->input_hidden_size());
        }
        py::gil_scoped_release release;
        const std::lock_guard lock(model_->mutex());
        model_->reserve(table_, length_ + ids.size());
        batch.add(ids.data(), ids.size(), length_, table_.blocks(), ids.size());
        const float* const logits = model_->forward(batch);
        std::copy(logits, logits + ids.size() * model_->vocab_size(), destination);
        if (model_->hidden_size() > 0) {
            hidden_states_.assign(model_->hidden_states(),
                                  model_->hidden_states() + ids.size() * model_->hidden_size());
        }
        length_ += ids.size();
        return out;
    }

    // One token of each of several sequences of a model, in one pass.
    static py::array_t<float> forward_together(const std::vector<CachedSequence*>& sequences,
                                               const std::vector<int64_t>& ids) {
        if (ids.empty() || ids.size() != sequences.size()) {
            throw std::invalid_argument("forward_together needs one token for each of at least one sequence");
        }
        PagedModel& model = *sequences.front()->model_;
        for (const CachedSequence* sequence : sequences) {
            if (sequence->model_.get() != &model) throw std::invalid_argument("The sequences are of different models");
        }
        py::array_t<float> out({ids.size(), model.vocab_size()});
        float* const destination = out.mutable_data();
        FlatBatch batch;
        py::gil_scoped_release release;
        const std::lock_guard lock(model.mutex());
        for (size_t i = 0; i < ids.size(); ++i) {
            CachedSequence& sequence = *sequences[i];
            model.reserve(sequence.table_, sequence.length_ + 1);
            batch.add(&ids[i], 1, sequence.length_, sequence.table_.blocks(), 1);
            ++sequence.length_;
        }
        const float* const logits = model.forward(batch);
        std::copy(logits, logits + ids.size() * model.vocab_size(), destination);
        return out;
    }

    py::array_t<float> hidden_states() const {
        if (hidden_states_.empty()) throw std::logic_error("no pass has given hidden states");
        const size_t rows = hidden_states_.size() / model_->hidden_size();
        return py::array_t<float>({rows, model_->hidden_size()}, hidden_states_.data());
    }

    void rollback(size_t length) {
        if (length > length_) throw std::invalid_argument("rollback can only shorten a sequence");
        length_ = length;
    }

    size_t length() const { return length_; }

private:
    std::shared_ptr<PagedModel> model_;
    BlockTable table_;
    size_t length_ = 0;
    std::vector<float> hidden_states_;
};

// A draft head at work on one sequence, whose tokens and hidden states come from the caller instead of a target.
class DraftedSequence {
public:
    DraftedSequence(std::shared_ptr<Head> head, std::shared_ptr<PagedModel> target, const LogitsParams& logits,
                    uint64_t seed, size_t max_batch_tokens)
        : head_(std::move(head)),
          target_(std::move(target)),
          backbone_(*target_, max_batch_tokens),
          proposer_(std::make_unique<DraftHead>(
              *head_, ProposerContext{backbone_, max_batch_tokens, kMaxTokens, 0.0f, memory_}, "draft_head")) {
        request_.max_new_tokens = kMaxTokens;
        request_.logits = logits;
        request_.seed = seed;
        sequence_ = std::make_unique<Sequence>(0, request_);
    }
    ~DraftedSequence() {
        py::gil_scoped_release release;
        const std::lock_guard lock(head_->model().mutex());
        proposer_.reset();
    }

    void append(const std::vector<int64_t>& ids, const Floats& hidden_states) {
        if (ids.empty()) throw std::invalid_argument("append needs at least one token");
        // The last token has no hidden state yet.
        const size_t first = sequence_->tokens.empty() ? 0 : sequence_->tokens.size() - 1;
        const size_t rows = sequence_->tokens.size() + ids.size() - 1 - first;
        const auto values = hidden_states_of(hidden_states, rows, head_->model().input_hidden_size());
        for (const int64_t id : ids) {
            sequence_->tokens.push_back(id);
            sequence_->counts.push(id);
        }
        proposer_->committed(*sequence_, ids.size());
        proposer_->saw(*sequence_, first, values.data(), rows);
    }

    py::tuple propose(size_t tokens) {
        sequence_->draft.clear();
        {
            py::gil_scoped_release release;
            const std::lock_guard lock(head_->model().mutex());
            const size_t offered = proposer_->offer(*sequence_, tokens);
            if (offered > 0) proposer_->propose({{sequence_.get(), offered}});
        }
        const auto& draft = sequence_->draft;
        py::array_t<float> probs({draft.probs.size(), target_->vocab_size()});
        for (size_t i = 0; i < draft.probs.size(); ++i) {
            std::copy(draft.probs[i].begin(), draft.probs[i].end(), probs.mutable_data(static_cast<py::ssize_t>(i), 0));
        }
        return py::make_tuple(draft.tokens, probs);
    }

private:
    static constexpr size_t kMaxTokens = 1 << 20;
    std::shared_ptr<Head> head_;
    std::shared_ptr<PagedModel> target_;
    SpeculationMemory memory_;
    Backbone backbone_;
    std::unique_ptr<DraftHead> proposer_;
    SequenceRequest request_;
    std::unique_ptr<Sequence> sequence_;
};

}  // namespace

void bind_sequences(py::module_& m) {
    py::class_<CachedSequence>(m, "CachedSequence")
        .def(py::init<std::shared_ptr<PagedModel>>(), py::arg("model"))
        .def("forward", &CachedSequence::forward, py::arg("ids"), py::arg("hidden_states") = py::none())
        .def_static("forward_together", &CachedSequence::forward_together, py::arg("sequences"), py::arg("ids"))
        .def_property_readonly("hidden_states", &CachedSequence::hidden_states)
        .def("rollback", &CachedSequence::rollback, py::arg("length"))
        .def("__len__", &CachedSequence::length);
    py::class_<DraftedSequence>(m, "DraftedSequence")
        .def(py::init<std::shared_ptr<Head>, std::shared_ptr<PagedModel>, const LogitsParams&, uint64_t, size_t>(),
             py::arg("head"), py::arg("target"), py::arg("logits"), py::arg("seed") = 0,
             py::arg("max_batch_tokens") = 1024)
        .def("append", &DraftedSequence::append, py::arg("ids"), py::arg("hidden_states"))
        .def("propose", &DraftedSequence::propose, py::arg("tokens"));
}
