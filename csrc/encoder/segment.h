// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <openvino/runtime/compiled_model.hpp>
#include <openvino/runtime/infer_request.hpp>
#include <string>
#include <vector>

#include "encoder/batch.h"
#include "encoder/pass_times.h"

namespace dynexec {

// A compiled part of an encoder: one of its segments, or an exit head.
class Segment {
public:
    explicit Segment(ov::CompiledModel model);

    const std::vector<std::string>& inputs() const { return inputs_; }
    const std::vector<std::string>& outputs() const { return outputs_; }
    // Runs on tensors by name. The returned tensors, in the order of `outputs`, are valid until the next run. `size`:
    // rows times positions, the key of the recorded time. The time is added to `seconds`.
    std::vector<ov::Tensor> run(const std::map<std::string, ov::Tensor>& tensors, size_t size, double& seconds);
    PassTimes& times() { return times_; }

private:
    ov::InferRequest request_;
    PassTimes times_;
    std::vector<ov::Output<const ov::Node>> input_ports_, output_ports_;
    std::vector<std::string> inputs_, outputs_;
};

}  // namespace dynexec
