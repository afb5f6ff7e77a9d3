"""Hidden states of a backbone on its own texts, stored on disk for training."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino as ov
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tqdm import tqdm

from ...data.continuations import Text
from ...graph.backbone import last_hidden_states
from ...graph.walks import nodes_by_name


TEXTS_PER_SHARD = 64
LAST = "last"
INDEX_NAME = "index.json"


@dataclass(frozen=True)
class Example:
    """
    A text with its hidden states.

    Args:
        text ([`Text`]): text with its tokens.
        hidden_states (`dict[str, torch.Tensor]`):
            Hidden states, bfloat16 `[tokens, hidden_size]`, by layer: its index as a string, or `"last"` for the input
            of the unembedding.
    """

    text: Text
    hidden_states: dict[str, torch.Tensor]


class Features:
    """
    The examples of a directory, read from disk on demand.

    Args:
        directory (`str` or `Path`): directory that [`compute_features`] has written.
    """

    def __init__(self, directory: str | Path):
        index = json.loads((Path(directory) / INDEX_NAME).read_text(encoding="utf-8"))
        self._places: list[tuple[Path, int, Text]] = []
        for name, texts in index["shards"].items():
            start = 0
            for text in texts:
                self._places.append((Path(directory) / name, start, Text(**text)))
                start += len(text["tokens"])

    def __len__(self) -> int:
        return len(self._places)

    def text(self, index: int) -> Text:
        """The text of an example, without its hidden states."""
        return self._places[index][2]

    def example(self, index: int, names: list[str]) -> Example:
        """
        Reads one example.

        Args:
            index (`int`): index of the example.
            names (`list[str]`): names of the layers to read, as in [`Example`].
        """
        path, start, text = self._places[index]
        with safe_open(str(path), framework="pt") as file:
            states = {name: file.get_slice(name)[start : start + len(text.tokens)] for name in names}
        return Example(text, states)


def compute_features(
    model: ov.Model,
    boundaries: dict[int, str],
    texts: list[Text],
    directory: str | Path,
    *,
    device: str = "CPU",
    ov_config: dict[str, str] | None = None,
    progress: bool = True,
) -> Features:
    """
    Runs the backbone on texts and stores its hidden states. A call that was interrupted resumes where it stopped.

    Args:
        model (`openvino.Model`): stateful decoder, which is not changed.
        boundaries (`dict[int, str]`): friendly name of the node after each requested layer.
        texts (`list[Text]`): texts to run.
        directory (`str` or `Path`):
            directory for the hidden states, which take 2 bytes times the hidden size per token and layer.
        device (`str`, *optional*, defaults to `"CPU"`): OpenVINO device.
        ov_config (`dict[str, str]`, *optional*): OpenVINO properties.
        progress (`bool`, *optional*, defaults to `True`): show a progress bar.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    index_path = directory / INDEX_NAME
    if index_path.is_file():
        return Features(directory)
    runner = None
    shards: dict[str, list[dict]] = {}
    starts = range(0, len(texts), TEXTS_PER_SHARD)
    for start in tqdm(starts, desc="hidden states", unit="shard", disable=not progress):
        part = texts[start : start + TEXTS_PER_SHARD]
        name = f"shard-{start // TEXTS_PER_SHARD:05d}-{_digest(part, sorted(boundaries))}.safetensors"
        shards[name] = [{"tokens": t.tokens, "first": t.first, "greedy": t.greedy} for t in part]
        if (directory / name).is_file():
            continue
        runner = runner or _Runner(model, boundaries, device, ov_config or {})
        states = [runner(text.tokens) for text in part]
        tensors = {key: torch.cat([state[key] for state in states]) for key in states[0]}
        partial = directory / f".{name}"
        save_file(tensors, partial)
        partial.rename(directory / name)
    partial = directory / f".{INDEX_NAME}"
    partial.write_text(json.dumps({"shards": shards}), encoding="utf-8")
    partial.rename(index_path)
    return Features(directory)


def typical_size(model: ov.Model, boundary: str, tokens: list[int]) -> float:
    """
    The root mean square of a hidden state: the median over the tokens of a text.

    Args:
        model (`openvino.Model`): stateful decoder, which is not changed.
        boundary (`str`): friendly name of the node whose output is measured.
        tokens (`list[int]`): token ids of the text.
    """
    states = _Runner(model, {0: boundary}, "CPU", {})(tokens)["0"].float()
    return float(states.pow(2).mean(-1).sqrt().median())


class _Runner:
    """The backbone up to its last hidden states, without logits."""

    def __init__(self, model: ov.Model, boundaries: dict[int, str], device: str, ov_config: dict[str, str]):
        model = model.clone()
        nodes = nodes_by_name(model, list(boundaries.values()))
        outputs = [nodes[name].output(0) for name in boundaries.values()] + [last_hidden_states(model)]
        trunk = ov.Model(outputs, model.get_sinks(), model.get_parameters(), model.get_variables(), "trunk")
        self._names = [*map(str, boundaries), LAST]
        self._request = ov.Core().compile_model(trunk, device, ov_config).create_infer_request()
        self._inputs = {name for value in trunk.inputs for name in value.get_names()}

    def __call__(self, tokens: list[int]) -> dict[str, torch.Tensor]:
        n = len(tokens)
        feed = {
            "input_ids": np.array([tokens], np.int64),
            "attention_mask": np.ones((1, n), np.int64),
            "position_ids": np.arange(n, dtype=np.int64)[None],
            "beam_idx": np.zeros(1, np.int32),
        }
        self._request.reset_state()
        results = self._request.infer({name: value for name, value in feed.items() if name in self._inputs})
        values = [np.array(results[i], np.float32).reshape(n, -1) for i in range(len(self._names))]
        return {
            name: torch.from_numpy(value).to(torch.bfloat16) for name, value in zip(self._names, values, strict=True)
        }


def _digest(texts: list[Text], layers: list[int]) -> str:
    content = json.dumps([layers, [[t.tokens, t.first, t.greedy] for t in texts]])
    return hashlib.sha256(content.encode()).hexdigest()[:12]
