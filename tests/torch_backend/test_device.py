"""Where models run: devices and extensions that are there, absent, or do not fit."""

import sys
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import pytest
import torch

from optimum_dynexec.torch_backend import TorchDynExecModelForCausalLM, device


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("tpu", "must be one of"),
        ("meta", "must be one of"),
        ("", "must be one of"),
        ("cuda", "CUDA"),
        ("xpu", "Intel GPU"),
    ],
)
def test_a_device_that_is_not_there_is_named(name, named, monkeypatch):
    for kind in ("cuda", "xpu"):
        monkeypatch.setitem(device.DEVICES, kind, (lambda: False, device.DEVICES[kind][1]))
    with pytest.raises(ValueError, match=named):
        device.find_device(name)


def test_an_intel_gpu_is_taken_if_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.xpu, "is_available", lambda: True)
    assert device.find_device("xpu:1") == torch.device("xpu", 1)
    monkeypatch.delattr(torch, "xpu")
    with pytest.raises(ValueError, match="Intel GPU"):
        device.find_device("xpu")


def install(monkeypatch, found, torch_version):
    def version(name):
        assert name == device.IPEX
        if found is None:
            raise PackageNotFoundError(name)
        return found

    optimized = []

    def optimize(model, dtype, inplace):
        assert inplace
        assert not model.training
        optimized.append(dtype)
        return model

    monkeypatch.setattr(device, "version", version)
    monkeypatch.setattr(torch, "__version__", torch_version)
    monkeypatch.setitem(sys.modules, "intel_extension_for_pytorch", SimpleNamespace(optimize=optimize))
    return optimized


@pytest.mark.parametrize(
    ("found", "torch_version", "named"),
    [
        (None, "2.8.0", "not installed"),
        ("2.8.0", "2.13.0", "does not match torch 2.13.0"),
        ("2.7.0", "2.8.1", "2.8.0"),
    ],
)
def test_an_extension_that_is_absent_or_does_not_fit(found, torch_version, named, monkeypatch, tiny_hf):
    optimized = install(monkeypatch, found, torch_version)
    with pytest.raises(ImportError, match=named):
        TorchDynExecModelForCausalLM.from_pretrained(tiny_hf("llama"), ipex=True)
    assert optimized == []


def test_an_extension_that_fits_optimizes_the_model(monkeypatch, tiny_hf):
    optimized = install(monkeypatch, "2.8.0+cpu", "2.8.1")
    TorchDynExecModelForCausalLM.from_pretrained(tiny_hf("llama"), ipex=True, precision="fast")
    assert optimized == [torch.bfloat16]
    TorchDynExecModelForCausalLM.from_pretrained(tiny_hf("llama"))
    assert len(optimized) == 1
    with pytest.raises(ValueError, match="'cpu' and 'xpu'"):
        device.place(torch.nn.Linear(1, 1), torch.device("cuda"), ipex=True)
