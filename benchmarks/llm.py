"""Text generation with batch size 1: optimum-dynexec and openvino_genai on Spec-Bench or code-editing prompts.

    python -m benchmarks.llm --model MODEL --draft DRAFT --questions code-editing
    python -m benchmarks.llm --model MODEL --questions open --max-questions-per-category 40
    python -m benchmarks.llm --model MODEL --questions spec_bench_questions.jsonl --precision exact
    python -m benchmarks.llm --model MODEL --questions spec_bench_questions.jsonl --memory
    python -m benchmarks.llm --model MODEL --unguessable

MODEL and DRAFT are transformers models (ids or directories), which are exported once, or directories of OpenVINO
models. The settings of openvino_genai whose names end in `-f32` have the properties of our exact mode, the others
OpenVINO's defaults.
"""

import argparse
import contextlib
import logging
import time
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm
from transformers import AutoTokenizer

from optimum_dynexec.benchmark.environment import environment
from optimum_dynexec.benchmark.generation import Generation
from optimum_dynexec.benchmark.markdown import markdown
from optimum_dynexec.benchmark.prompts import Question
from optimum_dynexec.benchmark.records import Key, Records
from optimum_dynexec.benchmark.weights import weight_compression
from optimum_dynexec.directory.hashes import hash_model

from . import memory, unguessable
from .dynexec_systems import DynExecSystem
from .models import WEIGHT_FORMATS, attached_heads, eos_token_ids, exported, is_exported
from .questions import MADE, encode, hash_questions, load_questions
from .registry import select
from .report import PEERS, as_json, complete_questions, equal_questions, report, summarize
from .results import write_results
from .systems import Setting, System


WARM_UP_TEXT = "Name three colours and say what you like about each of them."
WARM_UP_TOKENS = 24
UNGUESSABLE_PROMPTS = 12
PRECISIONS = ("auto", "exact", "f32", "fast")
DEFAULT_SYSTEMS = (
    "dynexec-plain",
    "dynexec-lookup",
    "dynexec-draft",
    "dynexec-head",
    "dynexec-auto",
    "dynexec-auto+draft",
    *("genai-plain*", "genai-lookup-k3-n3*", "genai-lookup-k5-n3*", "genai-draft-*"),
)
METHOD = (
    "Both sides take the same token ids and return token ids; greedy, batch size 1, EOS counts as a token."
    " On each question, the systems run one after the other, in rotating order."
)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    logging.getLogger("nncf").setLevel(logging.WARNING)
    systems = _systems(args)
    model = _model_directory(args)
    tokenizer = AutoTokenizer.from_pretrained(model)
    setting = Setting(
        model=model,
        draft=_draft_directory(args) if any(system.needs_draft for system in systems) else None,
        precision=args.precision,
        eos_token_ids=eos_token_ids(model),
        prefix_caching=args.genai_prefix_caching,
        draft_vocabulary=args.draft_vocabulary,
    )
    settings = _settings(args, setting)
    mode = "memory" if args.memory else "unguessable" if args.unguessable else "speed"
    out = args.out or Path("build", "benchmarks", f"{mode}-{model.name}-{args.precision}.json")
    print(_heading(settings))
    if args.memory:
        result = _memory(args, setting, tokenizer, systems)
    elif args.unguessable:
        result = _unguessable(args, setting, tokenizer, systems)
    else:
        result = _speed(args, setting, settings, tokenizer, systems, out.with_suffix(".jsonl"))
    write_results(out, settings, **result)
    print(f"\nWritten to {out}")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="HuggingFaceTB/SmolLM2-135M-Instruct", help="Id or directory of the model.")
    parser.add_argument(
        "--questions", metavar="FILE", help=f"One of {', '.join(MADE)}, or a .jsonl file of Spec-Bench."
    )
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="Precision of our engine.")
    parser.add_argument("--weight-format", choices=WEIGHT_FORMATS, help="Weight format of the export. Default: fp32.")
    parser.add_argument("--heads", type=Path, help="Directory of heads to attach to the export.")
    parser.add_argument("--draft", help="Id or directory of the draft model. Default: MODEL in INT4.")
    parser.add_argument(
        "--draft-vocabulary", type=int, metavar="N", help="Tokens that the draft model can propose. Default: all."
    )
    parser.add_argument("--systems", nargs="+", metavar="PATTERN", help="Names or patterns such as 'genai-*'.")
    parser.add_argument(
        "--max-questions-per-category",
        type=int,
        default=10,
        metavar="N",
        help="Maximum number of questions of each category.",
    )
    parser.add_argument(
        "--max-new-tokens", type=int, default=160, metavar="N", help="Maximum number of new tokens of each answer."
    )
    parser.add_argument("--repeats", type=int, default=1, metavar="N", help="Number of runs of each question.")
    parser.add_argument("--seed", type=int, default=0, help="Random seed of code-editing and --unguessable.")
    parser.add_argument("--export-dir", type=Path, default=Path("models"), help="Directory for exports.")
    parser.add_argument(
        "--out", type=Path, help="JSON file for the results; a .jsonl file next to it lets a run resume."
    )
    parser.add_argument(
        "--memory", action="store_true", help="Measure the peak memory of each system in its own process."
    )
    parser.add_argument("--unguessable", action="store_true", help="Measure the cost of useless speculation.")
    parser.add_argument(
        "--genai-prefix-caching",
        action="store_true",
        help="Keep openvino_genai's prefix caching on (its default). Each of its settings then loads the model again.",
    )
    args = parser.parse_args(argv)
    if args.questions is None and not args.unguessable:
        parser.error("--questions is required")
    if args.questions not in (None, *MADE) and not Path(args.questions).is_file():
        parser.error(f"--questions: there is no file {args.questions}; the other choices are {', '.join(MADE)}")
    if min(args.max_questions_per_category, args.max_new_tokens, args.repeats) < 1:
        parser.error("the numbers of questions, tokens and repeats must be at least 1")
    if args.weight_format and is_exported(args.model):
        parser.error(f"{args.model} is already exported: leave out --weight-format")
    if args.heads and is_exported(args.model):
        parser.error(f"{args.model} is already exported: attach heads with `optimum-cli dynexec attach-heads`")
    if args.genai_prefix_caching and args.repeats > 1:
        parser.error("--genai-prefix-caching would answer repeats from the cache: leave out --repeats")
    return args


def _model_directory(args: argparse.Namespace) -> Path:
    if is_exported(args.model):
        return Path(args.model)
    return exported(args.model, args.weight_format or "fp32", args.export_dir, args.heads)


def _draft_directory(args: argparse.Namespace) -> Path:
    draft = args.draft or args.model
    if is_exported(draft):
        return Path(draft)
    return exported(draft, "int4", args.export_dir)


def _systems(args: argparse.Namespace) -> list[System]:
    default = memory.DEFAULT_SYSTEMS if args.memory else unguessable.SYSTEMS if args.unguessable else DEFAULT_SYSTEMS
    try:
        systems = select(args.systems or list(default))
    except ValueError as error:
        raise SystemExit(str(error)) from None
    if args.draft is None and is_exported(args.model):
        # The model can no longer be compressed to INT4.
        left_out = [system.name for system in systems if system.needs_draft]
        if left_out:
            print(f"These systems need --draft and are left out: {', '.join(left_out)}.")
        systems = [system for system in systems if not system.needs_draft]
    heads = {None, *_heads(args)}
    left_out = [system.name for system in systems if system.needs_head not in heads]
    if left_out:
        print(f"These systems need heads (--heads) and are left out: {', '.join(left_out)}.")
    return [system for system in systems if system.needs_head in heads]


def _heads(args: argparse.Namespace) -> set[str]:
    if args.heads is not None:
        return {path.stem for path in args.heads.glob("*.safetensors")}
    return set(attached_heads(Path(args.model))) if is_exported(args.model) else set()


def _settings(args: argparse.Namespace, setting: Setting) -> dict[str, Any]:
    """All settings that a figure of this run depends on."""
    settings: dict[str, Any] = {
        "model": args.model,
        "model_hash": hash_model(setting.model, "openvino_model"),
        "weights": weight_compression(setting.model),
        "precision": setting.precision,
        "max_new_tokens": args.max_new_tokens,
        "seed": args.seed,
        "genai_prefix_caching": setting.prefix_caching,
        **environment(),
    }
    if args.questions is not None:
        settings["questions"] = Path(args.questions).name
        settings["questions_sha256"] = hash_questions(args.questions, args.seed)
    if heads := attached_heads(setting.model):
        settings["heads"] = heads
    if setting.draft is not None:
        settings["draft"] = args.draft or f"{args.model} with INT4 weights (no smaller model was given)"
        settings["draft_hash"] = hash_model(setting.draft, "openvino_model")
        if setting.draft_vocabulary is not None:
            settings["draft_vocabulary"] = setting.draft_vocabulary
    return settings


def _heading(settings: dict[str, Any]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in settings.items())


def _speed(
    args: argparse.Namespace,
    setting: Setting,
    settings: dict[str, Any],
    tokenizer: Any,
    systems: list[System],
    path: Path,
) -> dict[str, Any]:
    questions = load_questions(args.questions, args.max_questions_per_category, args.seed)
    records = Records(path, settings, Generation)
    if records.others:
        print(f"{path} also contains {records.others} records of other models, builds or settings, which are ignored.")
    start = time.perf_counter()
    with contextlib.suppress(KeyboardInterrupt):  # existing records are reported
        _generate(args, setting, tokenizer, systems, questions, records)
    prompts = {question.question_id: len(encode(tokenizer, question.text)) for question in questions}
    groups = summarize(records, questions, systems, args.repeats, prompts)
    done = complete_questions(records, questions, systems, args.repeats)
    if not done:
        print("No question has been answered by all systems so far.")
        return {"figures": {}}
    print(f"\n{METHOD}")
    print(f"{len(done)} of {len(questions)} questions, {args.repeats} repeat(s); greedy decoding needs no seed.")
    if records.resumed:
        print(f"{records.resumed} of {len(records.values)} records come from earlier runs with the same settings.")
    print(f"\n{report(groups)}")
    for peer in PEERS:
        same = equal_questions(records, done, "dynexec-plain", peer, args.repeats)
        if same is not None:
            print(f"\ndynexec-plain and {peer} gave the same tokens for {same} of {len(done)} questions.")
    print(f"This run took {time.perf_counter() - start:.0f} s.")
    return {"questions": [question.question_id for question in done], "figures": as_json(groups), "records": str(path)}


def _generate(
    args: argparse.Namespace,
    setting: Setting,
    tokenizer: Any,
    systems: list[System],
    questions: list[Question],
    records: Records[Generation],
) -> None:
    todo = [
        (Key(system.name, question.question_id, repeat), system, question)
        for repeat in range(args.repeats)
        for index, question in enumerate(questions)
        for system in _rotated(systems, index + repeat)
    ]
    todo = [item for item in todo if item[0] not in records]
    if not todo:
        return
    shared: dict[Any, Any] = {}
    warm_up = encode(tokenizer, WARM_UP_TEXT)
    for system in tqdm(systems, desc="loading", leave=False):
        system.load(setting, shared)
        system.generate(warm_up, WARM_UP_TOKENS)
    precisions = {getattr(system.model, "precision", None) for system in systems if isinstance(system, DynExecSystem)}
    if precisions - {None}:
        print(f"precision of our engine: {setting.precision}, which is {', '.join(sorted(precisions - {None}))}")
    with tqdm(todo, unit="answer", smoothing=0.05) as progress:
        for key, system, question in progress:
            progress.set_postfix_str(f"{question.task} {key.item} {key.system}", refresh=False)
            records.add(key, system.generate(encode(tokenizer, question.text), args.max_new_tokens))


def _rotated(systems: list[System], by: int) -> list[System]:
    by %= len(systems)
    return systems[by:] + systems[:by]


def _memory(args: argparse.Namespace, setting: Setting, tokenizer: Any, systems: list[System]) -> dict[str, Any]:
    questions = load_questions(args.questions, 1, args.seed)
    prompts = [encode(tokenizer, question.text) for question in questions]
    rows = [
        memory.measure(system.name, setting, prompts, args.max_new_tokens) for system in tqdm(systems, leave=False)
    ]
    columns = ["imports", "loaded", "anonymous", "file", "peak_generating", "peak", "growth"]
    cells = [[row["system"], *("" if row[c] is None else f"{row[c]:.0f}" for c in columns)] for row in rows]
    print(
        f"\nResident memory in MiB, with a new process for each system, {len(prompts)} prompts of up to"
        f" {max(map(len, prompts))} tokens; growth over {memory.SHORT_REQUESTS} short requests after"
        f" {memory.WARM_UP_REQUESTS} of warm-up.\n\n{markdown(['system', *columns], cells)}"
    )
    return {"memory": rows}


def _unguessable(args: argparse.Namespace, setting: Setting, tokenizer: Any, systems: list[System]) -> dict[str, Any]:
    if len(systems) != 2 or not all(system.name.startswith("dynexec-") for system in systems):
        raise SystemExit("--unguessable compares two of our systems: --systems dynexec-plain dynexec-auto")
    shared: dict[Any, Any] = {}
    for system in systems:
        system.load(setting, shared)
    prompts = unguessable.random_prompts(tokenizer, UNGUESSABLE_PROMPTS, args.seed)
    result = unguessable.measure(systems, prompts, args.max_new_tokens, args.repeats, args.seed, tqdm)
    print(
        f"\n{len(prompts)} prompts of random words, {args.max_new_tokens} tokens sampled at temperature"
        f" {unguessable.TEMPERATURE}, {args.repeats} repeat(s), interleaved, medians"
    )
    for system in systems:
        row = result[system.name]
        print(
            f"{system.name}: {row['tokens_per_second']:.1f} tokens/s, {row['accepted']} of {row['proposed']} proposed"
            f" tokens accepted, {row['tokens']} generated"
        )
    each = ", ".join(f"{ratio:.3f}" for ratio in result["ratios"])
    print(f"{systems[1].name} / {systems[0].name}: {result['ratio']:.3f} (repeats: {each})")
    print(f"{result['equal']} of {result['runs']} sampled answers are equal token for token (same seeds).")
    return {"unguessable": result}


if __name__ == "__main__":
    main()
