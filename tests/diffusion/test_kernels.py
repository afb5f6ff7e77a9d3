"""The kernels on tensors, against PyTorch. csrc/tests/test_diffusion.cpp goes deeper."""

import math

import numpy as np
import pytest
import torch

from optimum_dynexec.diffusion.kernels import combination, cosines, mean_absolute_differences, relative_changes
from optimum_dynexec.native import _C


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(7, 4, 9, 5, generator=generator), torch.randn(7, 4, 9, 5, generator=generator)


def test_kernels_are_those_of_each_sample(pair):
    x, y = pair
    difference, norm = (x - y).flatten(1).norm(dim=1), x.flatten(1).norm(dim=1)
    np.testing.assert_allclose(relative_changes(x, y), difference / norm, rtol=1e-5)
    np.testing.assert_allclose(mean_absolute_differences(x, y), (x - y).abs().flatten(1).mean(1), rtol=1e-5)
    expected = torch.nn.functional.cosine_similarity(x.flatten(1), y.flatten(1))
    np.testing.assert_allclose(cosines(x, y), expected, atol=1e-6)
    torch.testing.assert_close(combination([x, y], [0.25, -3.0]), 0.25 * x - 3 * y)


def test_views_and_other_types(pair):
    x, y = pair
    turned = x.transpose(1, 2)
    np.testing.assert_array_equal(cosines(turned, turned.contiguous()), cosines(turned, turned))
    assert combination([x.double()], [1.0]).dtype == torch.float32
    assert cosines(x[:0], y[:0]).shape == (0,)


def test_special_samples():
    zero, one = torch.zeros(1, 3), torch.ones(1, 3)
    assert relative_changes(zero, zero) == [0]
    assert relative_changes(zero, one) == [math.inf]
    assert np.isnan(relative_changes(one * math.nan, one)).all()
    assert np.isnan(cosines(one * math.inf, one)).all()


@pytest.mark.parametrize("function", [_C.sample_differences, _C.sample_cosines])
def test_shapes_must_agree(function):
    with pytest.raises(ValueError, match="same shape"):
        function(np.zeros((2, 3), np.float32), np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match="at least one axis"):
        function(np.float32(1), np.float32(1))


def test_combinations_need_a_weight_each():
    with pytest.raises(ValueError, match="one weight for each"):
        _C.combine_samples([np.zeros(2, np.float32)], [])
    with pytest.raises(ValueError, match="same shape"):
        _C.combine_samples([np.zeros(2, np.float32), np.zeros(3, np.float32)], [1.0, 1.0])
