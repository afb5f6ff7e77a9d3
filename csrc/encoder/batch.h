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
    size_t length = 0;       // positions of its input sequence, including padding; 0: it has no sequence
    size_t last = 0;         // index after its last position with a token
    std::vector<bool> mask;  // [length]: the positions with tokens
    std::vector<std::vector<ExitView>> views;  // [distributions][exits so far]
    std::vector<float> embedding;              // of the previous exit, see Answer
};

// Tensors whose first dimension is samples.
struct Batch {
    std::map<std::string, ov::Tensor> tensors;  // the model's inputs by name, and the hidden states
    // Whether the hidden states are in the memory of a request, which the next pass of the request overwrites.
    bool borrowed = false;
};

// A row of a batch, with the tensors of a sample.
struct Row {
    std::shared_ptr<Sample> sample;
    std::shared_ptr<Batch> batch;
    size_t index = 0;   // row of the batch
    size_t places = 0;  // number of its positions in the row; padding follows
};

// The dimension of a tensor that is the sequence: 1, or none.
using SequenceTensors = std::map<std::string, bool>;

// Whether two rows can share a batch: their tensors differ at most in the length of the sequence.
bool can_share(const Row& first, const Row& second, const std::vector<std::string>& names,
               const SequenceTensors& sequences);

// Combines rows of several batches into one batch: the tensors in `names`, each as long as the longest sample. The
// padding after the tokens of a sample is dropped. The padding before them is kept, because a model may read the first
// position. A batch that consists of exactly these rows and needs no change is returned unchanged. The rows are
// updated to refer to the returned batch. Throws std::invalid_argument if samples cannot share a tensor, see
// can_share().
std::shared_ptr<Batch> gather(std::vector<Row>& rows, const std::vector<std::string>& names,
                              const SequenceTensors& sequences);

}  // namespace dynexec
