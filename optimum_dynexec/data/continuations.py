"""The model's own continuations of prompts, on which its heads are trained."""

import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from ..precision import FLOAT32_OV_CONFIG


if TYPE_CHECKING:
    from ..modeling import DynExecModelForCausalLM


# Prompts are sorted by length within groups of this size, so that the prompts of a forward pass have similar lengths.
STRETCH = 512
BATCH_SIZE = 32


@dataclass(frozen=True)
class Text:
    """
    A prompt and the model's continuation.

    Args:
        tokens (`list[int]`): token ids of the prompt and the continuation.
        first (`int`): position of the first token of the continuation.
        greedy (`bool`): whether each token of the continuation was the most probable one.
    """

    tokens: list[int]
    first: int
    greedy: bool


@dataclass(frozen=True)
class ContinuationArguments:
    """
    Settings for the continuations.

    Args:
        max_new_tokens (`int`, *optional*, defaults to 192): maximum number of tokens in a continuation.
        max_prompt_tokens (`int`, *optional*, defaults to 1024):
            maximum number of tokens in a prompt; longer prompts are left out.
        sampled_every (`int`, *optional*, defaults to 8): one batch in this many is sampled; with 0, none is.
        temperature (`float`, *optional*, defaults to 0.8): temperature of the sampled batches.
        seed (`int`, *optional*, defaults to 0): random seed of the order and of sampling.
    """

    max_new_tokens: int = 192
    max_prompt_tokens: int = 1024
    sampled_every: int = 8
    temperature: float = 0.8
    seed: int = 0


def own_continuations(
    model: "DynExecModelForCausalLM",
    prompts: list[list[int]],
    directory: str | Path,
    args: ContinuationArguments,
    *,
    progress: bool = True,
) -> list[Text]:
    """
    Has the model continue prompts, many at a time. A call that was interrupted resumes where it stopped.

    Args:
        model ([`DynExecModelForCausalLM`]): the model whose heads are trained.
        prompts (`list[list[int]]`): token ids of each prompt.
        directory (`str` or `Path`): directory that keeps the continuations.
        args ([`ContinuationArguments`]): settings for the continuations.
        progress (`bool`, *optional*, defaults to `True`): show a progress bar.

    Returns:
        `list[Text]`: in the order of the prompts, without prompts that are too long or have an empty continuation.
    """
    identity: Any = [
        prompts,
        asdict(args),
        model.dynexec_config.model_hash if model.dynexec_config else None,
        # Where two tokens are nearly tied, another precision or device can choose the other one.
        {key: str(model.ov_config.get(key)) for key in FLOAT32_OV_CONFIG},
        model._device,
    ]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:12]
    path = Path(directory) / f"continuations-{digest}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    done = _read(path)
    end_tokens = set(_as_list(model.generation_config.eos_token_id))
    pad = min(end_tokens, default=0)
    with (
        open(path, "a", encoding="utf-8") as file,
        tqdm(total=len(prompts), desc="continuations", unit="prompt", disable=not progress) as bar,
    ):
        for number, batch in enumerate(_batches(prompts, args)):
            if all(i in done for i in batch):
                bar.update(len(batch))
                continue
            greedy = not (args.sampled_every and number % args.sampled_every == args.sampled_every - 1)
            outputs = _generate(model, [prompts[i] for i in batch], args, None if greedy else number, pad)
            for i, output in zip(batch, outputs, strict=True):
                end = next((k + 1 for k, token in enumerate(output) if token in end_tokens), len(output))
                done[i] = {"i": i, "output": output[:end], "greedy": greedy}
                file.write(json.dumps(done[i]) + "\n")
            file.flush()
            bar.update(len(batch))
    return [
        Text(prompts[i] + entry["output"], len(prompts[i]), entry["greedy"])
        for i, entry in sorted(done.items())
        if entry["output"]
    ]


def _batches(prompts: list[list[int]], args: ContinuationArguments) -> Iterator[list[int]]:
    fitting = [i for i, prompt in enumerate(prompts) if 0 < len(prompt) <= args.max_prompt_tokens]
    generator = random.Random(args.seed + 1)
    for start in range(0, len(fitting), STRETCH):
        stretch = sorted(fitting[start : start + STRETCH], key=lambda i: len(prompts[i]))
        batches = [stretch[k : k + BATCH_SIZE] for k in range(0, len(stretch), BATCH_SIZE)]
        generator.shuffle(batches)
        yield from batches


def _generate(
    model: "DynExecModelForCausalLM", prompts: list[list[int]], args: ContinuationArguments, seed: int | None, pad: int
) -> list[list[int]]:
    import torch

    longest = max(map(len, prompts))
    ids = torch.tensor([[pad] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    sampling = (
        {"do_sample": False, "temperature": None}
        if seed is None
        else {"do_sample": True, "temperature": args.temperature, "seed": args.seed + seed}
    )
    # Many sequences share a pass here, so speculation would gain nothing.
    output = model.generate(
        ids,
        attention_mask=mask,
        max_new_tokens=args.max_new_tokens,
        pad_token_id=pad,
        top_k=None,
        top_p=None,
        speculation="off",
        **sampling,
    )
    return output[:, longest:].tolist()


def _read(path: Path) -> dict[int, dict[str, Any]]:
    done: dict[int, dict[str, Any]] = {}
    if path.is_file():
        whole = path.read_bytes()
        # The last line of a process that was killed may be incomplete.
        complete = whole[: whole.rfind(b"\n") + 1]
        if complete != whole:
            path.write_bytes(complete)
        for line in complete.splitlines():
            entry = json.loads(line)
            done[entry["i"]] = entry
    return done


def _as_list(value: int | list[int] | tuple[int, ...] | None) -> list[int]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]
