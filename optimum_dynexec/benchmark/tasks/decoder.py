"""Decoders: tokens per second, equality with plain decoding, perplexity."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...data.texts import chat_prompts, read_texts
from ...directory.config import DynExecConfig
from ...utils.intervals import proportion_interval
from ...utils.losses import NOTHING, UNKNOWN
from ..decoding import new_memory, timed_generate
from ..generation import Generation, count_equal, generation_figures
from ..perplexity import LEAST_TOKENS, Perplexity, perplexity, perplexity_rise
from ..prompts import read_prompts
from ..records import Key, Records
from ..systems import System
from .base import BenchmarkTask, Column, Texts
from .options import early_exit_config


if TYPE_CHECKING:
    from ...modeling import DynExecModelForCausalLM
    from ..arguments import BenchmarkArguments


WARM_UP_TOKENS = 24
ALL = "all prompts"
# The item of the record with a model's perplexity.
PERPLEXITY = "perplexity"
LEAVES_EARLY = "with early exit, the text differs from the full model's own, and perplexity does not measure this loss"
NOT_FINITE = "its perplexity or that of the baseline is not finite, because the model computes NaN or infinity"
NEAR_TIES = (
    "{} of {} of its answers differ from plain decoding, because precision 'fast' may decide near ties differently."
    " With 'exact', no answer differs."
)
NOT_EQUAL = (
    "{}: {} of {} answers differ from the model's own plain decoding, although `precision` is 'exact' and its calls"
    " are lossless. Please report this"
)


class DecoderBenchmark(BenchmarkTask):
    """Greedy requests of one prompt each, with token ids as inputs and outputs."""

    texts = Texts(
        speed="tokens/s",
        request="an answer",
        loss="perplexity rise",
        loss_missing="perplexity was not measured: give held-out text with --perplexity-data",
        histogram="Accepted tokens per draft",
        histogram_axis="accepted draft tokens",
        dynamic="speculation",
        gain="perplexity {:.2f}% lower",
        loss_unit="tokens",
    )
    columns = (
        Column(
            "decode_tokens_per_second", "decode tokens/s", "{:.1f}", "speed without the prompt and the first token"
        ),
        Column("first_token_ms", "first token ms", "{:.0f}", "mean time to the first token in milliseconds"),
        Column(
            "mean_accepted_length",
            "mean accepted length",
            "{:.2f}",
            "mean number of tokens per forward pass; 1 is plain decoding",
        ),
        Column("mean_layers", "layers per token", "{:.1f}", "mean number of layers that a token with early exit ran"),
        Column("acceptance_rate", "acceptance rate", "{:.0%}", "share of draft tokens that were accepted"),
        Column(
            "equal_share",
            "same as plain",
            "{:.0%}",
            "share of answers that equal the model's own plain decoding, token for token",
            "equal_interval",
        ),
        Column("requests", "prompts", "{:d}", "number of prompts answered"),
        Column("perplexity", "perplexity", "{:.3f}", "perplexity on the held-out text; lower is better"),
    )

    def __init__(self, models: Mapping[str, Path], data: Sequence[str], arguments: "BenchmarkArguments"):
        from transformers import AutoTokenizer

        super().__init__(models, data, arguments)
        self.tokenizer = AutoTokenizer.from_pretrained(self.models[self.baseline])
        questions = read_prompts(data, arguments.max_samples)
        self.items = [question.question_id for question in questions]
        self.tasks = {question.question_id: question.task for question in questions}
        ids = chat_prompts([question.text for question in questions], self.tokenizer)
        self.prompts = dict(zip(self.items, ids, strict=True))
        self.held_out = self._held_out()
        used = json.dumps([self.prompts, self.held_out]).encode()
        self.data_hash = f"sha256:{hashlib.sha256(used).hexdigest()}"
        self._configs = {name: DynExecConfig.from_pretrained(model) for name, model in self.models.items()}
        self._loaded: dict[tuple[str, tuple[int, ...] | None], Any] = {}
        self._memories: dict[str, Any] = {}

    def _held_out(self) -> list[int]:
        texts = [text for source in self.arguments.perplexity_data for text in read_texts(source)]
        if not texts:
            return []
        tokens = list(self.tokenizer("\n\n".join(texts))["input_ids"])[: self.arguments.max_perplexity_tokens]
        if len(tokens) < LEAST_TOKENS:
            # Checked now, not after all other measurements.
            raise ValueError(
                f"perplexity needs a text with at least {LEAST_TOKENS} tokens, but {len(tokens)} tokens of"
                f" {self.arguments.perplexity_data} are used"
            )
        return tokens

    def load(self, systems: Sequence[System]) -> None:
        for system in systems:
            model = self._model(system)
            self._memories[system.name] = new_memory(model)

    def _model(self, system: System) -> "DynExecModelForCausalLM":
        from ...modeling import DynExecModelForCausalLM

        layers = self._exit_layers(system)
        key = (system.model, None if layers is None else tuple(layers))
        if key not in self._loaded:
            self._loaded[key] = DynExecModelForCausalLM.from_pretrained(
                self.models[system.model],
                exit_layers=layers,
                precision=self.arguments.precision,
                device=self.arguments.device,
                ov_config=self.ov_config,
                # The benchmark runs all models with the requested settings, not with their tuned ones.
                tuned=False,
            )
        return self._loaded[key]

    def _exit_layers(self, system: System) -> list[int] | None:
        """
        The exit layers to load a model with; `None` for the default. A model with exits is cut into segments, which
        cost time. Plain decoding is therefore measured on a model that is not cut, and systems that use exits have a
        model of their own, so that no call cuts the model of another system.
        """
        config = self._configs[system.model]
        if _exits(system) or _drafts_from_exits(system):
            return config.exit_layers
        # A model with a draft head is not cut by default.
        whole = not config.exit_layers or any(head.kind == "draft" for head in config.heads.values())
        return [] if system.plain and not whole else None

    def run(self, system: System, item: str, warm_up: bool = False, first: bool = True) -> dict[str, Any]:
        model = self._model(system)
        length = min(WARM_UP_TOKENS, self.arguments.max_new_tokens) if warm_up else self.arguments.max_new_tokens
        made = timed_generate(
            model, self._memories[system.name], self.prompts[item], length, **_options(system), **_padding(model)
        )
        return asdict(made)

    def work(self, record: dict[str, Any]) -> int:
        return len(record["tokens"])

    def measure_quality(self, systems: Sequence[System], records: Records[dict[str, Any]]) -> None:
        if not self.held_out:
            return
        for system in systems:
            key = Key(system.model, PERPLEXITY, 0)
            if system.plain and key not in records:
                args = self.arguments
                found = perplexity(
                    self._model(system), self.held_out, args.perplexity_window, args.perplexity_stride, args.progress
                )
                records.add(key, asdict(found))

    def workloads(self) -> dict[str, list[str]]:
        tasks = list(dict.fromkeys(self.tasks.values()))
        groups = {task: [item for item in self.items if self.tasks[item] == task] for task in tasks}
        return {ALL: self.items, **(groups if len(groups) > 1 else {})}

    def figures(self, system: System, items: Sequence[str], records: Records[dict[str, Any]]) -> dict[str, Any]:
        answers = _answers(records, system.name, items)
        own_plain = _answers(records, f"{system.model}/off", items)
        found = generation_figures(answers)
        equal = count_equal(answers, own_plain)
        latency = 1e3 * np.array([np.median([run.seconds for run in runs]) for runs in answers])
        lossless = not _exits(system)
        exits = _exit_histogram([runs[0] for runs in answers])
        warnings = []
        different, exact = len(items) - equal, self._model(system).precision == "exact"
        if lossless and exact and different:
            warnings.append(NOT_EQUAL.format(system.name, different, len(items)))
        return {
            "speed": found.tokens_per_second,
            "latency_ms": float(latency.mean()),
            "latency_p99_ms": float(np.percentile(latency, 99)),
            **(self._loss(system, records) if lossless else UNKNOWN),
            "loss_missing": self._loss_missing(system, records),
            "perplexity": self._perplexity(system, records) if lossless else None,
            "tokens": found.tokens,
            "decode_tokens_per_second": found.decode_tokens_per_second,
            "first_token_ms": 1e3 * found.first_token_seconds,
            # With early exit there are no drafts, and every pass gives one token.
            "mean_accepted_length": found.mean_accepted_length if lossless else None,
            "mean_layers": None if lossless or exits is None else _mean_layers(exits),
            "acceptance_rate": found.acceptance_rate,
            "requests": len(items),
            "equal": equal,
            "equal_share": equal / len(items),
            "equal_interval": list(proportion_interval(equal, len(items))),
            "histogram": _histogram([runs[0] for runs in answers]),
            "exit_histogram": exits,
            "warnings": warnings,
            "remark": NEAR_TIES.format(different, len(items)) if lossless and different and not exact else None,
        }

    def _perplexity(self, system: System, records: Records[dict[str, Any]]) -> float | None:
        """The perplexity; `None` if it was not measured, or is not finite (JSON cannot hold such a number)."""
        found = records.runs(system.model, PERPLEXITY)
        if not found or not math.isfinite(found[0]["negative_log_likelihood"]):
            return None
        return Perplexity(**found[0]).value

    def _loss_missing(self, system: System, records: Records[dict[str, Any]]) -> str | None:
        if _exits(system):
            return LEAVES_EARLY
        measured = all(records.runs(model, PERPLEXITY) for model in (system.model, self.baseline))
        return NOT_FINITE if measured and self._loss(system, records)["loss"] is None else None

    def _loss(self, system: System, records: Records[dict[str, Any]]) -> dict[str, Any]:
        if system.model == self.baseline:
            return NOTHING
        if None in (self._perplexity(of, records) for of in (system, System(self.baseline, "off"))):
            return UNKNOWN
        own, base = (Perplexity(**records.runs(name, PERPLEXITY)[0]) for name in (system.model, self.baseline))
        return perplexity_rise(own, base).figures()


def _options(system: System) -> dict[str, Any]:
    if system.plain:
        return {"speculation": "off"}
    options: dict[str, Any] = {"speculation": "auto"} if system.options is None else dict(system.options)
    if isinstance(options.get("early_exit"), dict):
        options["early_exit"] = early_exit_config(options["early_exit"])
    return options


def _exits(system: System) -> bool:
    return system.options is not None and system.options.get("early_exit") is not None


def _drafts_from_exits(system: System) -> bool:
    options = system.options or {}
    return options.get("assistant_early_exit") is not None or options.get("speculation") == "exit_heads"


def _padding(model: "DynExecModelForCausalLM") -> dict[str, Any]:
    """Sets a padding token to avoid transformers' warning. With one sequence there is no padding anyway."""
    eos = model.generation_config.eos_token_id
    first = eos[0] if isinstance(eos, list) else eos
    return {} if first is None or model.generation_config.pad_token_id is not None else {"pad_token_id": first}


def _answers(records: Records[dict[str, Any]], system: str, items: Sequence[str]) -> list[list[Generation]]:
    return [[Generation(**row) for row in records.runs(system, item)] for item in items]


def _histogram(runs: Sequence[Generation]) -> dict[str, int] | None:
    counts: Counter[int] = Counter()
    for run in runs:
        counts.update(dict(enumerate(run.accepted_histogram or [])))
    longest = max((length for length, count in counts.items() if count), default=None)
    return None if longest is None else {str(length): counts[length] for length in range(longest + 1)}


def _exit_histogram(runs: Sequence[Generation]) -> dict[str, int] | None:
    counts: Counter[int] = Counter()
    for run in runs:
        for layer, count in run.exit_histogram or []:
            counts[layer] += count
    return {str(layer): counts[layer] for layer in sorted(counts)} or None


def _mean_layers(histogram: Mapping[str, int]) -> float:
    return sum((int(layer) + 1) * count for layer, count in histogram.items()) / sum(histogram.values())
