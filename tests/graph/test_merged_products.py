"""Products of one input joined into one."""

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest

from optimum_dynexec.graph.merged_products import merge_products


WIDTH = 64
ROWS = (96, 32, 33)
WEIGHTS = ("f32", "f16", "u8", "i8", "u4_groups")
CONFIG = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}


def packed(values, element):
    """A constant of 4-bit numbers, two to a byte, the first in the low half."""
    flat = values.reshape(-1).astype(np.uint8)
    tensor = ov.Tensor(element, ov.Shape(values.shape))
    tensor.data[:] = flat[0::2] | flat[1::2] << 4
    return ops.constant(tensor)


def weights(kind, rows, seed, width=WIDTH):
    random = np.random.default_rng(seed)
    scale = random.uniform(0.01, 0.02, (rows, 1)).astype(np.float16)
    if kind == "f32":
        return ops.constant(random.standard_normal((rows, width)).astype(np.float32))
    if kind == "f16":
        return ops.convert(ops.constant(random.standard_normal((rows, width)).astype(np.float16)), "f32")
    if kind == "i8":
        values = ops.convert(ops.constant(random.integers(-128, 128, (rows, width), np.int8)), "f16")
        return ops.convert(ops.multiply(values, ops.constant(scale)), "f32")
    if kind == "u8":
        values = ops.convert(ops.constant(random.integers(0, 256, (rows, width), np.uint8)), "f16")
        zero = ops.convert(ops.constant(random.integers(100, 156, (rows, 1), np.uint8)), "f16")
        return ops.convert(ops.multiply(ops.subtract(values, zero), ops.constant(scale)), "f32")
    groups = (rows, width // 16, 16)
    values = ops.convert(packed(random.integers(0, 16, groups), ov.Type.u4), "f16")
    zero = ops.convert(packed(random.integers(6, 10, (rows, width // 16, 1)), ov.Type.u4), "f16")
    scale = random.uniform(0.01, 0.02, (rows, width // 16, 1)).astype(np.float16)
    product = ops.multiply(ops.subtract(values, zero), ops.constant(scale))
    return ops.convert(ops.reshape(product, ops.constant([rows, width], np.int64), False), "f32")


def build(kinds, rows=ROWS, widths=None, own_inputs=False, transpose_b=True):
    inputs, results = [], []
    for index, kind in enumerate(kinds):
        width = (widths or [WIDTH] * len(kinds))[index]
        if not inputs or own_inputs:
            inputs.append(ops.parameter([-1, 1, width], np.float32, name=f"x{index}"))
        value = weights(kind, rows[index], index, width)
        if not transpose_b:
            value = ops.transpose(value, ops.constant([1, 0], np.int64))
        product = ops.matmul(inputs[-1], value, False, transpose_b)
        product.output(0).set_names({f"product_{index}"})
        results.append(ops.result(ops.relu(product)))
    return ov.Model(results, inputs, "products")


def outputs_of(model):
    compiled = ov.Core().compile_model(model, "CPU", CONFIG)
    random = np.random.default_rng(7)
    x = [random.standard_normal((5, 1, p.get_partial_shape()[-1].get_length())).astype("f") for p in model.inputs]
    return [np.array(value) for value in compiled(x).values()]


def num_products(model):
    return sum(node.get_type_name() == "MatMul" for node in model.get_ops())


@pytest.mark.parametrize("kind", WEIGHTS)
def test_the_outputs_stay(kind):
    model = build([kind] * 3)
    before = outputs_of(model)
    assert merge_products(model) == 2
    assert num_products(model) == 1
    for one, other in zip(before, outputs_of(model), strict=True):
        assert np.abs(one).max() > 0.1
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-5)
    for index in range(3):
        assert any(f"product_{index}" in value.get_names() for node in model.get_ops() for value in node.outputs())


def test_what_differs_in_form_stays_apart():
    model = build(["f32", "u8", "f32"])
    before = outputs_of(model)
    assert merge_products(model) == 1
    assert num_products(model) == 2
    for one, other in zip(before, outputs_of(model), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-5)


def test_rows_that_end_inside_a_byte_stay_apart():
    # 33 rows of three zero points of 4 bits are not whole bytes.
    model = build(["u4_groups"] * 2, rows=(32, 32), widths=[48, 48])
    assert merge_products(model) == 1
    odd = [ops.constant(ov.Tensor(ov.Type.u4, ov.Shape([33, 3]))) for _ in range(2)]
    x = ops.parameter([-1, 3], np.float32, name="x")
    products = [ops.matmul(x, ops.convert(value, "f32"), False, True) for value in odd]
    assert merge_products(ov.Model([ops.result(product) for product in products], [x], "odd")) == 0


@pytest.mark.parametrize(
    "arguments", [{"own_inputs": True}, {"transpose_b": False}], ids=["other inputs", "weights the other way round"]
)
def test_what_is_no_such_product_stays(arguments):
    model = build(["f32"] * 3, **arguments)
    assert merge_products(model) == 0
    assert num_products(model) == 3


def test_a_product_of_two_inputs_stays():
    x = ops.parameter([-1, WIDTH], np.float32, name="x")
    y = ops.parameter([-1, WIDTH], np.float32, name="y")
    products = [ops.matmul(x, y, False, True), ops.matmul(x, y, False, True)]
    assert merge_products(ov.Model([ops.result(product) for product in products], [x, y], "inputs")) == 0


def test_weights_of_experts_stay():
    """Products of rank 3 have the experts where those of rank 2 have the rows."""
    x = ops.parameter([4, -1, WIDTH], np.float32, name="x")
    values = [np.random.default_rng(i).standard_normal((4, 8, WIDTH)).astype("f") for i in range(2)]
    products = [ops.matmul(x, ops.constant(value), False, True) for value in values]
    assert merge_products(ov.Model([ops.result(product) for product in products], [x], "experts")) == 0


@pytest.mark.parametrize("shape", [(1, WIDTH), (WIDTH,), (1, 1), ()], ids=str)
@pytest.mark.parametrize("same", [True, False], ids=["same", "different"])
def test_a_scale_of_all_rows(shape, same):
    """It belongs to each row, so the rows can be joined only if it is the same for all of them."""
    random = np.random.default_rng(3)
    x = ops.parameter([-1, 1, WIDTH], np.float32, name="x")
    scales = [random.uniform(0.01, 0.02, shape).astype(np.float16) for _ in range(2)]
    products = []
    for index, rows in enumerate((WIDTH, 32)):
        values = ops.convert(ops.constant(random.integers(-128, 128, (rows, WIDTH), np.int8)), "f16")
        scaled = ops.multiply(values, ops.constant(scales[0 if same else index]))
        products.append(ops.matmul(x, ops.convert(scaled, "f32"), False, True))
    model = ov.Model([ops.result(ops.relu(product)) for product in products], [x], "shared scale")
    before = outputs_of(model)
    assert merge_products(model) == int(same)
    for one, other in zip(before, outputs_of(model), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-5)
