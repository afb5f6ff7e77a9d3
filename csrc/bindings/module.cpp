// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <pybind11/pybind11.h>

#include "bindings/bindings.h"
#include "tensor_names.h"

namespace {

// A name is that of its constant in tensor_names.h.
void bind_tensor_names(pybind11::module_& m) {
    using namespace dynexec;
    m.attr("INPUT_IDS") = names::kInputIds;
    m.attr("POSITION_IDS") = names::kPositionIds;
    m.attr("PAST_LENS") = names::kPastLens;
    m.attr("SUBSEQUENCE_BEGINS") = names::kSubsequenceBegins;
    m.attr("BLOCK_INDICES") = names::kBlockIndices;
    m.attr("BLOCK_INDICES_BEGINS") = names::kBlockIndicesBegins;
    m.attr("MAX_CONTEXT_LEN") = names::kMaxContextLen;
    m.attr("KEY_CACHE") = names::kKeyCache;
    m.attr("VALUE_CACHE") = names::kValueCache;
    m.attr("LOGITS_INDICES") = names::kLogitsIndices;
    m.attr("ATTENTION_ROWS") = names::kAttentionRows;
    m.attr("KEPT_ROWS") = names::kKeptRows;
    m.attr("HIDDEN_STATES") = names::kHiddenStates;
    m.attr("LAST_HIDDEN_STATES") = names::kLastHiddenStates;
    m.attr("ATTENTION_MASK") = names::kAttentionMask;
    m.attr("CERTAINTY") = names::kCertainty;
}

}  // namespace

PYBIND11_MODULE(_C, m) {
    m.doc() = "The decode loop, encoders and kernels of optimum-dynexec. Import openvino first.";
    bind_tensor_names(m);
    bind_diffusion(m);
    bind_kernels(m);
    bind_runtime(m);
    bind_sequences(m);
    bind_encoder(m);
}
