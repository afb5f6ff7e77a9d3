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
    size_t last = 0;         // one behind its last place that holds a token
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
    size_t index = 0;   // row of the batch
    size_t places = 0;  // so many of its sequence are in the row; what follows there is padding
};

// Which dimension of a tensor is the sequence's: 1, or none.
using SequenceTensors = std::map<std::string, bool>;

// Whether two rows can be of the same batch: their tensors differ in the length of a sequence at most.
bool can_share(const Row& first, const Row& second, const std::vector<std::string>& names,
               const SequenceTensors& sequences);

// Puts rows of several batches into one: the tensors in `names`, each as long as the longest sample. The padding behind
// a sample's tokens is dropped; that before them stays, as a model may look at the first place. A batch of just these
// rows that need no change is returned as it is. The rows are changed to be those of the batch returned.
// Throws std::invalid_argument if samples cannot share a tensor, see can_share().
std::shared_ptr<Batch> gather(std::vector<Row>& rows, const std::vector<std::string>& names,
                              const SequenceTensors& sequences);

}  // namespace dynexec
