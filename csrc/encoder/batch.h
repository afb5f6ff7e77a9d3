// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <openvino/runtime/tensor.hpp>
#include <string>
#include <vector>

#include "kernels/criteria/criterion.h"

namespace dynexec {

// One input of the model on its way through the segments.
struct Sample {
    size_t index = 0;        // in the order in which samples came
    size_t length = 0;       // places of its sequence as it came, padding included; 0: it has no sequence
    size_t first = 0;        // its first place that holds a token
    size_t last = 0;         // one behind its last such place
    std::vector<bool> mask;  // [length]: the places that hold tokens
    std::vector<std::vector<ExitView>> views;  // [distributions][exits so far]
    std::vector<float> embedding;              // of the exit before, see Answer
};

// Tensors whose first dimension is samples.
struct Batch {
    std::map<std::string, ov::Tensor> tensors;  // the model's inputs by name, and the hidden states
    // Whether the hidden states are the memory of a request, which its next pass overwrites.
    bool borrowed = false;
};

// A row of a batch: where a sample's tensors are.
struct Row {
    std::shared_ptr<Sample> sample;
    std::shared_ptr<Batch> batch;
    size_t index = 0;  // row of the batch
    size_t begin = 0;  // the place of the sequence that stands first in the row
    size_t end = 0;    // one behind the last; what follows in the row is padding
};

// Which dimension of a tensor is the sequence's: 1, or none.
using SequenceTensors = std::map<std::string, bool>;

// Whether two rows can be of the same batch: their tensors differ in the length of a sequence at most.
bool can_share(const Row& first, const Row& second, const std::vector<std::string>& names,
               const SequenceTensors& sequences);

// Puts rows of several batches into one: the tensors in `names`, each as long as the longest sample. The padding before
// and behind a sample's tokens is dropped, that before only if `align`: what is before the first segment stays in
// place, for the sake of absolute positions. A batch of just these rows that need no change is returned as it is. The
// rows are changed to be those of the batch returned. Throws std::invalid_argument if samples cannot share a tensor, as
// their shapes differ otherwise than in length.
std::shared_ptr<Batch> gather(std::vector<Row>& rows, const std::vector<std::string>& names,
                              const SequenceTensors& sequences, bool align);

}  // namespace dynexec
