// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

#include <pybind11/pybind11.h>

void bind_diffusion(pybind11::module_& m);
void bind_encoder(pybind11::module_& m);
void bind_kernels(pybind11::module_& m);
void bind_runtime(pybind11::module_& m);
void bind_sequences(pybind11::module_& m);
