"""Hidden states and predictions of an encoder for a data set, stored on disk for training."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tqdm import tqdm

from ...data.batches import lengths_of, sorted_batches
from ...data.inputs import Inputs, with_defaults
from ...data.samples import Samples
from ...heads.modules.encoder import EncoderHeadModule
from ...runtime.encoder_exits import EncoderExits
from .objectives import OBJECTIVES


BATCH_SIZE = 32
BATCHES_PER_SHARD = 32
FULL, SIZES, ORDER = "full", "sizes", "order"


class States:
    """
    The contents of a directory of [`compute_states`], read one layer at a time.

    For heads that pool, rows are samples. Otherwise they are tokens without padding, one sample after the other.

    Args:
        files (`list[Path]`): files of the shards.
    """

    def __init__(self, files: list[Path]):
        self._files = files
        order = self._read(ORDER)
        # The position of each sample, by its index in the data, in the shards.
        place = np.argsort(order.numpy(), kind="stable")
        sizes = self._read(SIZES)
        starts = sizes.cumsum(0) - sizes
        self.sizes: torch.Tensor = sizes[place]
        self._rows = torch.cat([torch.arange(int(starts[i]), int(starts[i] + sizes[i])) for i in place.tolist()])

    def __len__(self) -> int:
        return len(self.sizes)

    def layer(self, layer: int) -> torch.Tensor:
        """The input of the head after `layer`: `[rows, hidden_size]`, float32, or bfloat16 if rows are tokens."""
        return self._read(_name(layer))[self._rows]

    def full(self) -> torch.Tensor:
        """The full model's predictions, float32 `[rows, num_labels]`."""
        return self._read(FULL)[self._rows]

    def _read(self, name: str) -> torch.Tensor:
        parts = []
        for path in self._files:
            with safe_open(str(path), framework="pt") as file:
                parts.append(file.get_tensor(name))
        return torch.cat(parts)


def compute_states(
    runner: EncoderExits,
    heads: Mapping[int, EncoderHeadModule],
    samples: Samples,
    inputs: Inputs,
    max_length: int,
    directory: Path,
    *,
    progress: bool = True,
) -> States:
    """
    Runs a whole model on samples. A call that was interrupted resumes where it stopped.

    Args:
        runner ([`~runtime.encoder_exits.EncoderExits`]): runner of the model.
        heads (`Mapping[int, EncoderHeadModule]`): heads by layer, whose pooling determines what is stored.
        samples ([`~data.samples.Samples`]): samples to run.
        inputs ([`~data.inputs.Inputs`]): function that makes the model's inputs.
        max_length (`int`): maximum number of tokens in a text.
        directory (`Path`):
            directory for the results. Pooled states take 4 bytes times the hidden size per sample and layer, others 2
            bytes times the hidden size per token and layer.
        progress (`bool`, *optional*, defaults to `True`): whether to show a progress bar.
    """
    directory.mkdir(parents=True, exist_ok=True)
    batches = sorted_batches(lengths_of(samples.inputs), BATCH_SIZE)
    files = []
    with tqdm(total=len(samples), desc="hidden states", unit="sample", disable=not progress) as bar:
        for start in range(0, len(batches), BATCHES_PER_SHARD):
            part = batches[start : start + BATCHES_PER_SHARD]
            path = directory / f"shard-{start // BATCHES_PER_SHARD:05d}.safetensors"
            files.append(path)
            if not path.is_file():
                found = [_run(runner, heads, inputs(samples.select(indices), max_length)) for indices in part]
                tensors = {name: torch.cat([piece[name] for piece in found]).contiguous() for name in found[0]}
                tensors[ORDER] = torch.tensor([index for indices in part for index in indices])
                partial = path.with_name(f".{path.name}")
                save_file(tensors, partial)
                partial.replace(path)
            bar.update(sum(map(len, part)))
    return States(files)


def states_key(content: object) -> str:
    """A hash of all that the hidden states depend on, 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


@torch.no_grad()
def _run(
    runner: EncoderExits, heads: Mapping[int, EncoderHeadModule], feed: dict[str, np.ndarray]
) -> dict[str, torch.Tensor]:
    feed = with_defaults(feed)
    outputs, hidden, _ = runner(feed)
    # For audio, the mask does not refer to the hidden states.
    mask = torch.from_numpy(feed["attention_mask"]) if "input_ids" in feed else None
    first = torch.from_numpy(np.asarray(next(iter(hidden.values()))))
    by_token = OBJECTIVES[next(iter(heads.values())).config.kind].by_token
    tokens = torch.ones(first.shape[:2], dtype=torch.bool) if mask is None else mask.bool()
    found = {
        SIZES: tokens.sum(1) if by_token else torch.ones(len(first), dtype=torch.int64),
        FULL: _full(outputs, tokens if by_token else None),
    }
    for layer, head in heads.items():
        rows = head.pool(torch.from_numpy(np.asarray(hidden[layer], np.float32)), mask)
        found[_name(layer)] = rows[tokens].to(torch.bfloat16) if by_token else rows
    return found


def _full(outputs: dict[str, np.ndarray], tokens: torch.Tensor | None) -> torch.Tensor:
    if "start_logits" in outputs:
        values = np.stack([outputs["start_logits"], outputs["end_logits"]], axis=-1)
    else:
        values = outputs["logits"] if "logits" in outputs else outputs["last_hidden_state"]
    full = torch.from_numpy(np.asarray(values, np.float32))
    return full if tokens is None else full[tokens]


def _name(layer: int) -> str:
    return f"layer.{layer}"
