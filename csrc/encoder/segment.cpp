// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "encoder/segment.h"

#include <chrono>
#include <stdexcept>

namespace dynexec {

Segment::Segment(ov::CompiledModel model)
    : request_(model.create_infer_request()), input_ports_(model.inputs()), output_ports_(model.outputs()) {
    for (const auto& port : input_ports_) inputs_.push_back(port.get_any_name());
    for (const auto& port : output_ports_) outputs_.push_back(port.get_any_name());
}

std::vector<ov::Tensor> Segment::run(const std::map<std::string, ov::Tensor>& tensors, size_t size, double& seconds) {
    const auto start = std::chrono::steady_clock::now();
    for (size_t i = 0; i < inputs_.size(); ++i) {
        const auto found = tensors.find(inputs_[i]);
        if (found == tensors.end()) throw std::invalid_argument("The input '" + inputs_[i] + "' is missing");
        request_.set_tensor(input_ports_[i], found->second);
    }
    request_.infer();
    std::vector<ov::Tensor> outputs;
    for (const auto& port : output_ports_) outputs.push_back(request_.get_tensor(port));
    const double taken = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    times_.saw(size, taken);
    seconds += taken;
    return outputs;
}

}  // namespace dynexec
