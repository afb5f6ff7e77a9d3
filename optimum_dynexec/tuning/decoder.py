"""Tuning of decoders. Nothing that is tried changes what they write, as far as their precision has it."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..benchmark.decoding import new_loop
from ..directory.config import DECODER_TASK, DynExecConfig
from ..directory.errors import TuningError
from ..directory.tuning import Tuning
from .arguments import TuningArguments
from .choice import choose, make_tuning, named, rows, take_back
from .halving import Trial, successive_halving
from .loading import Loads
from .threads import thread_config, thread_counts


OFF, AUTO = "off", "auto"
# Lengths of drafts that are tried beside measured ones.
LOOKUP_LENGTHS = (4, 10)
DRAFT_LENGTHS = (3, 6)


def tune_decoder(directory: Path, data: Sequence[str | Path], args: TuningArguments, progress: bool = True) -> Tuning:
    """
    Tries proposers and their constants first, then precisions and numbers of threads with the best of them.

    Args:
        directory (`Path`): of an exported decoder.
        data (`Sequence[str or Path]`): prompts, as [`~data.texts.read_texts`] takes them.
        args ([`TuningArguments`]): what is tried.
        progress (`bool`, *optional*, defaults to `True`): show progress bars.

    Raises:
        [`TuningError`]: if the decoder has no engine to tune.
        `ValueError`: if prompts cannot be read.
    """
    started = time.monotonic()
    items = read_prompts(directory, data, args)
    models = Models(directory, args)
    first = args.precisions[0]
    default = {"precision": first, "threads": None, "cut": False}
    model = models(default)
    if model.engine is None:
        raise TuningError(f"{directory} has nothing to tune: {model._not_pageable}")
    trials = [
        Trial(name, {"call": call, "load": {**default, "cut": "assistant_early_exit" in call}})
        for name, call in proposers(model).items()
    ]
    by_name = {trial.name: trial for trial in trials}
    deadline = started + args.time_limit
    # Two thirds of the time for what differs most.
    finished = successive_halving(
        trials,
        items,
        models.run,
        baseline=by_name[OFF],
        deadline=started + args.time_limit * 2 / 3,
        seed=args.seed,
        progress=progress,
    )
    best = choose(finished, by_name[AUTO])
    table = rows(trials, by_name[OFF], best, False)

    call, load = best.options["call"], best.options["load"]
    models.keep_only(load)
    how = [
        Trial(f"{best.name}, {precision}, {threads or 'default'} threads", {"call": call, "load": made})
        for precision in args.precisions
        for threads in [None, *thread_counts(args)]
        for made in [{**load, "precision": precision, "threads": threads}]
    ]
    plain = Trial(OFF, {"call": {"speculation": OFF}, "load": default})
    finished = successive_halving(
        [plain, *how], items, models.run, baseline=plain, deadline=deadline, seed=args.seed, progress=progress
    )
    last = choose([trial for trial in finished if trial is not plain] or [how[0]], how[0])
    # Once more against nothing at all: on what both were measured on.
    if plain.cost <= last.cost:
        last, call = plain, {"speculation": OFF}
        if best is not by_name[OFF]:
            take_back(table)
    table += rows([plain, *how], plain, last, False)
    load = last.options["load"]
    return make_tuning(
        directory,
        args,
        data,
        started,
        options=call,
        precision=load["precision"],
        ov_config=thread_config(load["threads"]),
        baseline=named(plain),
        best=named(last),
        loss=None,
        samples=sum(map(len, items[: len(last.seconds)])),
        table=table,
    )


def proposers(model: Any) -> dict[str, dict[str, Any]]:
    """
    What may propose for a model, with constants, as arguments of `generate` by a name.

    Args:
        model ([`~modeling.DynExecModelForCausalLM`]): with its heads.
    """
    found: dict[str, dict[str, Any]] = {OFF: {"speculation": OFF}, AUTO: {"speculation": AUTO}}
    found["prompt_lookup"] = {"speculation": "prompt_lookup", "num_assistant_tokens_schedule": "auto"}
    for length in LOOKUP_LENGTHS:
        found[f"prompt_lookup {length}"] = {"prompt_lookup_num_tokens": length}
    layers = [head.config.layer for head in model._heads.values()]
    if None in layers:
        found["draft_head"] = {"speculation": "draft_head"}
        for length in DRAFT_LENGTHS:
            found[f"draft_head {length}"] = {
                "speculation": "draft_head",
                "num_assistant_tokens": length,
                "num_assistant_tokens_schedule": "constant",
            }
    for layer in sorted(layer for layer in layers if layer is not None):
        found[f"early_exit {layer}"] = {
            "assistant_early_exit": layer + 1,
            "num_assistant_tokens_schedule": "auto",
        }
    return found


class Models:
    """The decoder, loaded in several ways, and how it is timed."""

    def __init__(self, directory: Path, args: TuningArguments):
        self.args = args
        self.exit_layers = DynExecConfig.from_pretrained(directory).exit_layers
        self.loads = Loads(directory, DECODER_TASK, args.device)
        self._loops: dict[tuple, Any] = {}

    def __call__(self, load: dict[str, Any]) -> Any:
        # Else as the model is loaded by default: whole beside a draft head.
        return self.loads.get(load, **({"exit_layers": self.exit_layers} if load["cut"] else {}))

    def keep_only(self, load: dict[str, Any]) -> None:
        """Frees the memory of all others."""
        self._loops.clear()
        self.loads.keep_only(load)

    def run(self, trial: Trial, ids: list[list[int]]) -> tuple[float, int, float]:
        model = self(trial.options["load"])
        key = (trial.name, *sorted(trial.options["load"].items()))
        if key not in self._loops:
            self._loops[key] = new_loop(model)
        # Of its own, so that none profits from what another has just seen of the same prompt.
        model.engine.loop = self._loops[key]
        longest = max(map(len, ids))
        rows = torch.tensor([[0] * (longest - len(row)) + row for row in ids])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in ids])
        start = time.perf_counter()
        model.generate(
            rows,
            attention_mask=mask,
            max_new_tokens=self.args.max_new_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            pad_token_id=0,
            **trial.options["call"],
        )
        return time.perf_counter() - start, max(model.last_stats.tokens, 1), 0.0


def read_prompts(directory: Path, data: Sequence[str | Path], args: TuningArguments) -> list[list[list[int]]]:
    """Batches of prompts in random order, of one for latency."""
    import random

    from transformers import AutoTokenizer

    from ..data.texts import chat_prompts, read_texts

    texts = [text for source in data for text in read_texts(source)]
    random.Random(args.seed).shuffle(texts)
    size = args.batch_size if args.objective == "throughput" else 1
    texts = texts[: args.max_samples * size]
    prompts = chat_prompts(texts, AutoTokenizer.from_pretrained(directory))
    prompts = [prompt for prompt in prompts if prompt]
    if not prompts:
        raise TuningError(f"{[str(source) for source in data]} give no prompt")
    return [prompts[start : start + size] for start in range(0, len(prompts), size)]
