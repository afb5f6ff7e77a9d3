// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "encoder/encoder.h"

#include <algorithm>
#include <set>
#include <stdexcept>

#include "tensor_names.h"

namespace dynexec {
namespace {

std::optional<size_t> index_of(const std::vector<std::string>& names, const std::string& name) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) return std::nullopt;
    return static_cast<size_t>(found - names.begin());
}

}  // namespace

Encoder::Encoder(const EncoderSpec& spec)
    : outputs_are_sequences_(spec.outputs_are_sequences), answer_(make_answer(spec.answer)) {
    if (spec.segments.empty()) throw std::invalid_argument("An encoder needs at least one segment");
    for (const auto& segment : spec.segments) segments_.emplace_back(segment);
    for (size_t i = 0; i + 1 < segments_.size(); ++i) {
        if (segments_[i].outputs().size() != 1) throw std::invalid_argument("An inner segment must have one output");
    }
    for (const auto& exit : spec.exits) add_exit(exit);
    for (const std::string& name : spec.sequence_inputs) sequences_[name] = true;
    sequences_[names::kHiddenStates] = spec.hidden_states_are_sequences;
    find_carried();
}

void Encoder::add_exit(const EncoderSpec::Exit& exit) {
    if (exit.segment + 1 >= segments_.size() || (!exits_.empty() && exit.segment <= exits_.back().segment)) {
        throw std::invalid_argument("Exits must be in order of depth, and before the last segment");
    }
    Exit made{Segment(exit.head), exit.segment, {}, std::nullopt};
    const auto& given = made.head.outputs();
    for (const std::string& name : outputs()) {
        const auto found = index_of(given, name);
        if (!found)
            throw std::invalid_argument("An exit head must have the output '" + name +
                                        "' of the model, but it has not");
        made.outputs.push_back(*found);
    }
    made.certainty = index_of(given, names::kCertainty);
    exits_.push_back(std::move(made));
}

void Encoder::find_carried() {
    std::set<std::string> needed;
    carried_.resize(segments_.size());
    for (size_t i = segments_.size(); i-- > 0;) {
        if (const auto exit = exit_after(i)) {
            const auto& inputs = exits_[*exit].head.inputs();
            needed.insert(inputs.begin(), inputs.end());
        }
        needed.insert(segments_[i].inputs().begin(), segments_[i].inputs().end());
        if (i == 0) {
            needed.erase(names::kHiddenStates);
        } else {
            needed.insert(names::kHiddenStates);
        }
        carried_[i].assign(needed.begin(), needed.end());
    }
}

std::optional<size_t> Encoder::exit_after(size_t segment) const {
    const auto found = std::find_if(exits_.begin(), exits_.end(), [&](const Exit& e) { return e.segment == segment; });
    if (found == exits_.end()) return std::nullopt;
    return static_cast<size_t>(found - exits_.begin());
}

}  // namespace dynexec
