// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include <pybind11/pybind11.h>

#include "bindings/bindings.h"

PYBIND11_MODULE(_C, m) {
    m.doc() = "The decode loop, encoders and kernels of optimum-dynexec. Import openvino first.";
    bind_diffusion(m);
    bind_kernels(m);
    bind_runtime(m);
    bind_sequences(m);
    bind_encoder(m);
}
