"""What heads compute while they are trained, against the plainest way to compute it."""

import pytest
import torch

from optimum_dynexec.heads.config import DecoderHeadConfig
from optimum_dynexec.heads.modules import Batch, HeadModule, make_head
from optimum_dynexec.heads.modules.layers import attend
from optimum_dynexec.training.decoder.trainer import SoftCrossEntropy


VOCAB, SIZE = 50, 32
LENGTHS, FIRSTS = [9, 13], [3, 5]
TOLERANCE = 1e-5


def a_head(kind: str) -> HeadModule:
    torch.manual_seed(0)
    kind, _, layers = kind.partition("+")
    read = (0, 2) if layers else ()
    config = DecoderHeadConfig(
        kind, None if kind == "draft" else 1, SIZE, VOCAB, 6, 2, 8, 40, rank=4, feature_layers=read
    )
    return make_head(config, torch.arange(0, VOCAB, 2), torch.randn(VOCAB, SIZE))


@pytest.fixture
def batch() -> Batch:
    torch.manual_seed(1)
    return Batch(torch.randn(sum(LENGTHS), SIZE), torch.randn(sum(LENGTHS), SIZE), LENGTHS, FIRSTS)


def block_over(block, x: torch.Tensor) -> torch.Tensor:
    """The block's output for the last of rows `[length, d]`, as a model with a cache would compute it."""
    y, positions = block.input_norm(x), torch.arange(len(x))
    keys, values = block.keys_values(y, positions)
    return block.finish(x[-1:], attend(block.queries(y[-1:], positions[-1:]), keys, values))


@torch.no_grad()
@pytest.mark.parametrize("kind", ["draft", "draft+layers"])
def test_a_draft_in_training_is_a_draft_in_use(kind: str, batch: Batch):
    head = a_head(kind)
    for parameter in head.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)  # some begin as zeros
    batch.features = torch.randn(sum(LENGTHS), head.config.feature_size)
    outputs = head(batch, 3)
    assert [len(g) for g in outputs] == [sum(n - f for n, f in zip(LENGTHS, FIRSTS, strict=True))] * 3
    row = 0
    for start, length, first in zip(batch.starts(), LENGTHS, FIRSTS, strict=True):
        h, e = batch.features[start : start + length], batch.embeddings[start : start + length]
        for i in range(first - 2, length - 2):
            x, g = head._fused(e[1 : i + 2], h[: i + 1]), None
            for step in range(min(3, length - 2 - i)):
                if step > 0:
                    x = torch.cat([x, head._fused(e[i + 1 + step][None], g)])
                g = block_over(head.block, x)
                assert torch.allclose(outputs[step][row], g[0], atol=TOLERANCE), (i, step)
            row += 1


@torch.no_grad()
def test_a_block_head_reads_its_text_alone(batch: Batch):
    head = a_head("block")
    (output,) = head(batch, 1)
    row = 0
    for start, length, first in zip(batch.starts(), LENGTHS, FIRSTS, strict=True):
        for i in range(first - 1, length - 1):
            alone = block_over(head.block, batch.features[start : start + i + 1])
            assert torch.allclose(output[row], alone[0], atol=TOLERANCE)
            row += 1
    assert row == len(output)


@torch.no_grad()
def test_an_adapter_begins_as_the_logit_lens(batch: Batch):
    adapter, norm = a_head("adapter"), a_head("norm")
    assert torch.equal(adapter.logits(adapter(batch, 1)[0]), norm.logits(norm(batch, 1)[0]))
    assert norm.logits(norm(batch, 1)[0]).shape == (14, VOCAB // 2)


def test_soft_cross_entropy_is_that_of_torch():
    torch.manual_seed(0)
    logits, target = torch.randn(7, 11, dtype=torch.double), torch.randn(7, 11, dtype=torch.double).softmax(-1)
    ours, theirs = logits.float().requires_grad_(), logits.float().requires_grad_()
    a, b = SoftCrossEntropy.apply(ours, target.float()), torch.nn.functional.cross_entropy(theirs, target.float())
    (3 * a).backward()
    (3 * b).backward()
    assert torch.allclose(a, b)
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-7)
    nothing = torch.zeros(0, 11, requires_grad=True)
    loss = SoftCrossEntropy.apply(nothing, torch.zeros(0, 11))
    loss.backward()
    assert loss == 0
    assert nothing.grad.shape == (0, 11)
