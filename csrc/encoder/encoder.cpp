// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "encoder/encoder.h"

#include <algorithm>
#include <set>
#include <stdexcept>

namespace dynexec {

const char* const kHiddenStates = "dynexec.hidden_states";
const char* const kAttentionMask = "attention_mask";
const char* const kCertainty = "dynexec.certainty";

namespace {

int index_of(const std::vector<std::string>& names, const std::string& name) {
    const auto found = std::find(names.begin(), names.end(), name);
    return found == names.end() ? -1 : static_cast<int>(found - names.begin());
}

}  // namespace

Encoder::Encoder(std::vector<ov::CompiledModel> segments, const std::vector<ov::CompiledModel>& heads,
                 const std::vector<size_t>& exit_segments, const std::vector<std::string>& sequence_inputs,
                 bool hidden_states_are_sequences, bool outputs_are_sequences, const std::string& answer)
    : outputs_are_sequences_(outputs_are_sequences), answer_(make_answer(answer)) {
    if (segments.empty()) throw std::invalid_argument("An encoder needs at least one segment");
    if (heads.size() != exit_segments.size()) {
        throw std::invalid_argument(std::to_string(heads.size()) + " heads for " +
                                    std::to_string(exit_segments.size()) + " exits");
    }
    for (auto& segment : segments) segments_.push_back(std::make_shared<Segment>(std::move(segment)));
    for (size_t i = 0; i + 1 < segments_.size(); ++i) {
        if (segments_[i]->outputs().size() != 1) throw std::invalid_argument("An inner segment must have one output");
    }
    exit_behind_.assign(segments_.size(), -1);
    for (size_t i = 0; i < heads.size(); ++i) {
        const size_t segment = exit_segments[i];
        if (segment + 1 >= segments_.size() || (i > 0 && segment <= exit_segments[i - 1])) {
            throw std::invalid_argument("Exits must be in order of depth, and before the last segment");
        }
        exits_.push_back({std::make_shared<Segment>(heads[i]), segment});
        exit_behind_[segment] = static_cast<int>(i);
        const auto& names = exits_.back().head->outputs();
        head_outputs_.emplace_back();
        for (const std::string& name : segments_.back()->outputs()) {
            const int found = index_of(names, name);
            if (found < 0) throw std::invalid_argument("An exit head has no output '" + name + "', as the model has");
            head_outputs_.back().push_back(static_cast<size_t>(found));
        }
        certainty_outputs_.push_back(index_of(names, kCertainty));
    }
    for (const std::string& name : sequence_inputs) sequences_[name] = true;
    sequences_[kHiddenStates] = hidden_states_are_sequences;
    std::set<std::string> needed;
    carried_.resize(segments_.size());
    for (size_t i = segments_.size(); i-- > 0;) {
        if (exit_behind_[i] >= 0) {
            const auto& inputs = exits_[static_cast<size_t>(exit_behind_[i])].head->inputs();
            needed.insert(inputs.begin(), inputs.end());
        }
        needed.insert(segments_[i]->inputs().begin(), segments_[i]->inputs().end());
        if (i == 0) {
            needed.erase(kHiddenStates);
        } else {
            needed.insert(kHiddenStates);
        }
        carried_[i].assign(needed.begin(), needed.end());
    }
}

std::vector<std::string> Encoder::inputs() const { return carried_[0]; }

}  // namespace dynexec
