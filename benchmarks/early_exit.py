"""Early exit of a decoder: the speed-up, and how often its tokens differ from those of the full model.

    python -m benchmarks.early_exit --model DIRECTORY --questions spec_bench_questions.jsonl

DIRECTORY is an export with exit heads. For each criterion, thresholds are chosen from its grid by the disagreement
that they cause on the model's own greedy answers. Generation with each set of thresholds is then timed in turns with
plain decoding. With `--calibrated`, the thresholds of `optimum-cli dynexec calibrate` in DIRECTORY are measured too.
"""

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm
from transformers import AutoTokenizer

from optimum_dynexec import DynExecModelForCausalLM, EarlyExitConfig
from optimum_dynexec.benchmark.environment import environment
from optimum_dynexec.benchmark.markdown import markdown
from optimum_dynexec.calibration.decoder_runner import DecoderRunner
from optimum_dynexec.calibration.policy import run_policy
from optimum_dynexec.calibration.recording import RecordedText, record_texts
from optimum_dynexec.calibration.records import ExitRecords
from optimum_dynexec.calibration.risks import token_disagreement
from optimum_dynexec.directory.freshness import load_calibration
from optimum_dynexec.early_exit.criteria import load_criterion
from optimum_dynexec.precision import precision_properties

from .questions import encode, load_questions


CRITERIA = ("max_prob", "margin", "entropy", "patience")
DISAGREEMENTS = (0.01, 0.02, 0.05, 0.1, 0.2)
WARM_UP_TOKENS = 16


@dataclass(frozen=True)
class Point:
    """
    Results of one setting of early exit, over all questions.

    Args:
        criterion (`str`): name of the criterion; `"calibrated"` for the thresholds of the directory.
        thresholds (`dict[int, float]`): threshold for each exit layer.
        disagreement (`float`): share of tokens that differ from the full model's token after the same text.
        left (`tuple[float, ...]`): share of tokens that left at each exit; the last entry is the full model.
        speed_up (`float`): ratio of decoded tokens per second to those of plain decoding.
        tokens_per_second (`float`): tokens per second without the prompts.
        same_answers (`int`): number of answers that equal those of plain decoding, token for token.
        head_share (`float`): share of the decode time in the exit heads.
        decide_share (`float`): share of the decode time in decisions and bookkeeping.
    """

    criterion: str
    thresholds: dict[int, float]
    disagreement: float
    left: tuple[float, ...]
    speed_up: float = 0.0
    tokens_per_second: float = 0.0
    same_answers: int = 0
    head_share: float = 0.0
    decide_share: float = 0.0


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    for name, value in environment().items():
        print(f"{name}: {value}")
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    questions = load_questions(args.questions, args.max_questions_per_category)
    prompts = [encode(tokenizer, question.text) for question in questions]
    model = DynExecModelForCausalLM.from_pretrained(args.model, precision=args.precision)

    def generate(prompt: list[int], **how: Any) -> tuple[list[int], np.ndarray]:
        """Tokens, decode time, its part in exit heads, and its part outside heads and model."""
        ids = torch.tensor([prompt])
        output = model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=args.max_new_tokens, do_sample=False, **how
        )
        stats = model.last_stats
        assert stats is not None
        decoding = stats.total_seconds - stats.prefill_seconds
        rest = decoding - stats.run_seconds - stats.exit_head_seconds
        return output[0, len(prompt) :].tolist(), np.array([decoding, stats.exit_head_seconds, rest])

    answers = [generate(prompt, speculation="off")[0] for prompt in tqdm(prompts, desc="plain", unit="question")]
    with_exits = {"early_exit": EarlyExitConfig(threshold=1.0)}
    generate(prompts[0][:WARM_UP_TOKENS], **with_exits)  # cuts the model now, also for plain decoding
    runner = DecoderRunner(args.model, ov_config=precision_properties(args.precision, model._has_compressed_weights()))
    texts = [RecordedText(prompt + answer, len(prompt)) for prompt, answer in zip(prompts, answers, strict=True)]
    records = record_texts(runner, texts)
    del runner
    points = [point for name in args.criteria for point in _points(name, records, args.model)]
    if args.calibrated:
        calibration = load_calibration(args.model)
        points.append(_point(calibration.criterion, calibration.thresholds, records, args.model, "calibrated"))

    times: dict[int, list[np.ndarray]] = {index: [] for index in range(-1, len(points))}
    same = [0] * len(points)
    tokens = dict.fromkeys(times, 0)
    for number, prompt in enumerate(tqdm(prompts, desc="early exit", unit="question")):
        order = sorted(times, key=lambda index: (index + number) % len(times))
        for index in order:
            how: dict[str, Any] = {"speculation": "off"}
            if index >= 0:
                point = points[index]
                criterion = calibration.criterion if point.criterion == "calibrated" else point.criterion
                thresholds = {layer: value for layer, value in point.thresholds.items() if np.isfinite(value)}
                how = {"early_exit": EarlyExitConfig(criterion, thresholds=thresholds, kv=args.kv)}
            output, seconds = generate(prompt, **how)
            times[index].append(seconds)
            tokens[index] += len(output) - 1
            if index >= 0:
                same[index] += output == answers[number]
    plain = tokens[-1] / sum(times[-1])[0]
    measured = []
    for index, point in enumerate(points):
        seconds, heads, rest = sum(times[index])
        figures = {
            "speed_up": tokens[index] / seconds / plain,
            "tokens_per_second": tokens[index] / seconds,
            "same_answers": same[index],
            "head_share": heads / seconds,
            "decide_share": rest / seconds,
        }
        measured.append(replace(point, **figures))
    points = measured
    print(f"\n{len(prompts)} questions, up to {args.max_new_tokens} tokens, {args.precision} precision, kv={args.kv}")
    usual = median(seconds for seconds, *_ in times[-1])
    print(f"plain decoding: {plain:.1f} tokens/s; median {usual:.2f} s per question\n")
    print(_table(points, len(prompts)))
    if args.figure:
        _draw(points, args.figure, f"{args.model.name}, {args.precision}, {len(prompts)} questions")
    if args.out:
        content = {"environment": environment(), "plain": plain, "points": [asdict(point) for point in points]}
        args.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="Directory of an export with exit heads.")
    parser.add_argument("--questions", required=True, help="code-editing, or a .jsonl file of Spec-Bench.")
    parser.add_argument(
        "--precision", choices=("exact", "f32", "fast"), default="exact", help="Precision of the model."
    )
    parser.add_argument(
        "--criteria", nargs="+", default=list(CRITERIA), help=f"Criteria. Default: {' '.join(CRITERIA)}."
    )
    parser.add_argument("--kv", choices=("deferred", "copy"), default="deferred", help="`kv` of EarlyExitConfig.")
    parser.add_argument("--calibrated", action="store_true", help="Also measure the calibrated thresholds.")
    parser.add_argument(
        "--max-questions-per-category",
        type=int,
        default=2,
        metavar="N",
        help="Maximum number of questions of each category.",
    )
    parser.add_argument(
        "--max-new-tokens", type=int, default=96, metavar="N", help="Maximum number of new tokens of each answer."
    )
    parser.add_argument("--figure", type=Path, help="PNG file for a figure (needs matplotlib).")
    parser.add_argument("--out", type=Path, help="JSON file for the results.")
    return parser.parse_args(argv)


def _points(name: str, records: ExitRecords, directory: Path) -> list[Point]:
    """For each disagreement, the most aggressive thresholds of the grid that stay below it."""
    criterion = load_criterion(name, directory)
    grid = np.repeat(criterion.grid(len(records.layers))[:, None], len(records.layers), axis=1)
    means = run_policy(records, criterion, grid, _losses(records)).losses.mean(axis=1)
    chosen = sorted({int(np.flatnonzero(means <= most)[-1]) for most in DISAGREEMENTS if means[0] <= most})
    return [_point(name, dict(zip(records.layers, grid[index], strict=True)), records, directory) for index in chosen]


def _point(
    name: str, thresholds: dict[int, float], records: ExitRecords, directory: Path, label: str | None = None
) -> Point:
    criterion = load_criterion(name, directory)
    row = np.array([[thresholds.get(layer, criterion.never()) for layer in records.layers]])
    outcome = run_policy(records, criterion, row, _losses(records))
    values = {layer: float(value) for layer, value in zip(records.layers, row[0], strict=True)}
    return Point(label or name, values, float(outcome.losses.mean()), tuple(outcome.shares[0].tolist()))


def _losses(records: ExitRecords) -> np.ndarray:
    return token_disagreement(records.predictions, records.labels)


def _table(points: list[Point], questions: int) -> str:
    header = ["criterion", "thresholds", "disagreement", "left at each exit, full model", "tokens/s", "x plain"]
    header += ["same answers", "exit heads", "deciding"]
    cells = [
        [
            point.criterion,
            ", ".join(f"{value:.4g}" for value in point.thresholds.values()),
            f"{point.disagreement:.3f}",
            ", ".join(f"{share:.0%}" for share in point.left),
            f"{point.tokens_per_second:.1f}",
            f"{point.speed_up:.2f}",
            f"{point.same_answers} of {questions}",
            f"{point.head_share:.1%}",
            f"{point.decide_share:.1%}",
        ]
        for point in points
    ]
    return markdown(header, cells)


def _draw(points: list[Point], path: Path, title: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    for name in dict.fromkeys(point.criterion for point in points):
        line = sorted((point.disagreement, point.speed_up) for point in points if point.criterion == name)
        single = {"marker": "*", "markersize": 14, "linestyle": "none"} if name == "calibrated" else {"marker": "o"}
        axes.plot([100 * (1 - x) for x, _ in line], [y for _, y in line], label=name, **single)
    axes.axhline(1.0, color="grey", linewidth=1)
    axes.set_xlabel("tokens equal to the full model's, %")
    axes.set_ylabel("decode speed relative to plain decoding")
    axes.invert_xaxis()
    axes.set_title(title, fontsize="medium")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
