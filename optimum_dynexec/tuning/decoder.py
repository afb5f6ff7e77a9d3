"""Tuning of decoders: speculation, precision and number of threads. Speculation does not change the output."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..benchmark.decoding import new_memory
from ..directory.config import DECODER_TASK, DynExecConfig
from ..directory.errors import TuningError
from ..directory.tuning import Tuning
from ..precision import group_config
from .arguments import TuningArguments
from .choice import compared, decide, make_tuning, rows
from .group_size import GroupCosts, choose_group, groups_have_effect, measure_groups, own_texts
from .halving import Measurement, Trial, successive_halving
from .loading import Loads
from .threads import thread_config, thread_counts


if TYPE_CHECKING:
    from ..modeling import DynExecModelForCausalLM


OFF, AUTO = "off", "auto"
# Numbers of draft tokens that are tried in addition to the automatic number.
LOOKUP_LENGTHS = (4, 10)
DRAFT_LENGTHS = (3, 6)
# The default for the maximum number of batches of prompts.
MAX_PROMPTS = 32


def tune_decoder(directory: Path, data: Sequence[str | Path], args: TuningArguments, progress: bool = True) -> Tuning:
    """
    Tunes a decoder. First it chooses a group size for the precision `exact`. Then it tries draft sources and numbers
    of draft tokens, and precisions and numbers of threads with the leader. The leader is chosen if a last comparison
    shows that it is faster than the untuned model.

    Args:
        directory (`Path`): directory of an exported decoder.
        data (`Sequence[str or Path]`): prompts, as accepted by [`~data.texts.read_texts`].
        args ([`TuningArguments`]): objective, limits and settings to try.
        progress (`bool`, *optional*, defaults to `True`): whether to show progress bars.

    Raises:
        [`TuningError`]: if the decoder has no engine to tune.
        `ValueError`: if the prompts cannot be read.
    """
    started = time.monotonic()
    items = read_prompts(directory, data, args)
    models = Models(directory, args)
    first = args.precisions[0]
    default = {"precision": first, "threads": None, "group": None, "cut": False}
    model = models(default)
    if model.engine is None:
        raise TuningError(f"{directory} has no engine to tune: {model._not_pageable}")
    measured = _measured_groups(model, items, args, progress)
    group = choose_group(measured) if measured else None
    trials = [
        Trial(name, {"call": call, "load": {**default, "cut": "assistant_early_exit" in call}})
        for name, call in proposers(model).items()
    ]
    by_name = {trial.name: trial for trial in trials}
    deadline = started + args.time_limit
    # Half of the time is for draft sources, which differ most, and a quarter for the last comparison.
    finished = successive_halving(
        trials,
        items,
        models.run,
        baseline=by_name[OFF],
        deadline=started + args.time_limit / 2,
        seed=args.seed,
        progress=progress,
    )
    best = finished[0]
    table = rows(trials, by_name[OFF], None, False)

    call, load = best.options["call"], best.options["load"]
    how = [
        Trial(f"{best.name}, {precision}, {threads or 'default'} threads", {"call": call, "load": made})
        for precision in args.precisions
        for threads in [None, *thread_counts(args)]
        for made in [
            {**load, "precision": precision, "threads": threads, "group": group if precision == "exact" else None}
        ]
    ]
    plain = Trial(OFF, by_name[OFF].options)
    # Keep at most one model that is cut for its exits, so that there is memory for the precisions and threads to try.
    models.keep_only(default, load)
    finished = successive_halving(
        [plain, *how],
        items,
        models.run,
        baseline=plain,
        deadline=started + args.time_limit * 3 / 4,
        seed=args.seed,
        progress=progress,
    )
    table += rows([plain, *how], plain, None, False)

    untuned = by_name[AUTO]
    leader = next((trial for trial in finished if trial is not plain), how[0])
    models.keep_only(default, leader.options["load"])
    ways = [trial for trial in (leader, plain) if trial.options != untuned.options]
    found = decide(untuned, ways, items, models.run, deadline=deadline, seed=args.seed, progress=progress)
    reference = next((trial for trial in found.trials if trial.options == plain.options), found.trials[0])
    table += rows(found.trials, reference, found.outcomes, False)
    load = found.chosen.options["load"]
    return make_tuning(
        directory,
        args,
        data,
        started,
        options=found.chosen.options["call"],
        precision=load["precision"],
        # The group holds for the precision "exact", also where another one is faster.
        ov_config={**thread_config(load["threads"]), **group_config(group)},
        group_sizes=[entry.to_dict() for entry in measured],
        loss=None,
        samples=sum(map(len, items[: len(reference.seconds)])),
        table=table,
        **compared(found, reference),
    )


def _measured_groups(
    model: "DynExecModelForCausalLM", items: Sequence[list[list[int]]], args: TuningArguments, progress: bool
) -> list[GroupCosts]:
    """The measurements of group sizes, if the precision `exact` is among those to try and has groups."""
    if "exact" not in args.precisions or not model._has_compressed_weights():
        return []
    prompts = [prompt for batch in items for prompt in batch]
    if not groups_have_effect(model, prompts[0]):
        return []
    return measure_groups(model, own_texts(model, prompts), progress=progress)


def proposers(model: "DynExecModelForCausalLM") -> dict[str, dict[str, Any]]:
    """
    Gives the draft sources to try for a model, with numbers of draft tokens, as arguments of `generate` by name.

    Args:
        model ([`~modeling.DynExecModelForCausalLM`]): model with its heads.
    """
    found: dict[str, dict[str, Any]] = {OFF: {"speculation": OFF}, AUTO: {"speculation": AUTO}}
    found["suffix"] = {"speculation": "suffix"}
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
        found[f"exit_heads {layer}"] = {
            "assistant_early_exit": layer + 1,
            "num_assistant_tokens_schedule": "auto",
        }
    return found


class Models:
    """Measures settings: holds the decoder, loaded in several ways."""

    def __init__(self, directory: Path, args: TuningArguments):
        self.args = args
        self.exit_layers = DynExecConfig.from_pretrained(directory).exit_layers
        self.loads = Loads(directory, DECODER_TASK, args.device)
        self._memories: dict[tuple, Any] = {}

    def __call__(self, load: dict[str, Any]) -> "DynExecModelForCausalLM":
        # Otherwise the model is loaded as by default: not cut if it has a draft head.
        return self.loads.get(load, **({"exit_layers": self.exit_layers} if load["cut"] else {}))

    def keep_only(self, *loads: dict[str, Any]) -> None:
        """Frees the memory of all other models."""
        kept = {tuple(sorted(load.items())) for load in loads}
        self._memories = {key: memory for key, memory in self._memories.items() if key[1:] in kept}
        self.loads.keep_only(*loads)

    def run(self, trial: Trial, ids: list[list[int]]) -> Measurement:
        model = self(trial.options["load"])
        key = (trial.name, *sorted(trial.options["load"].items()))
        if key not in self._memories:
            self._memories[key] = new_memory(model)
        # Each setting has its own memory, so that none gains from what another has just learned from the same prompt.
        self._memories[key].forget_texts()  # it has answered this prompt before
        model.speculation_memory = self._memories[key]
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
        return Measurement(time.perf_counter() - start, max(model.last_stats.tokens, 1))  # type: ignore[union-attr]


def read_prompts(directory: Path, data: Sequence[str | Path], args: TuningArguments) -> list[list[list[int]]]:
    """Batches of prompts in random order; for latency, each batch has one prompt."""
    import random

    from transformers import AutoTokenizer

    from ..data.texts import chat_prompts, read_texts

    texts = [text for source in data for text in read_texts(source)]
    random.Random(args.seed).shuffle(texts)
    size = args.batch_size if args.objective == "throughput" else 1
    texts = texts[: (args.max_samples or MAX_PROMPTS) * size]
    prompts = chat_prompts(texts, AutoTokenizer.from_pretrained(directory))
    prompts = [prompt for prompt in prompts if prompt]
    if not prompts:
        raise TuningError(f"there is no prompt in {[str(source) for source in data]}")
    return [prompts[start : start + size] for start in range(0, len(prompts), size)]
