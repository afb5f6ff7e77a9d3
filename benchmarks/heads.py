"""How often heads agree with their model on questions that they were not trained on.

    python -m benchmarks.heads --model DIRECTORY --heads DIRECTORY --questions spec_bench_questions.jsonl

The model is an export. The heads are evaluated on the model's own greedy answers.
"""

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import openvino as ov
import torch
from transformers import AutoTokenizer

from optimum_dynexec import DynExecModelForCausalLM
from optimum_dynexec.benchmark.environment import environment
from optimum_dynexec.benchmark.markdown import markdown
from optimum_dynexec.data.continuations import ContinuationArguments, own_continuations
from optimum_dynexec.graph.backbone import embedding_matrix, unembedding
from optimum_dynexec.graph.boundaries import find_layer_boundaries
from optimum_dynexec.heads import load_head
from optimum_dynexec.heads.modules import HeadModule, make_head
from optimum_dynexec.heads.storage import SUFFIX
from optimum_dynexec.training.decoder.batches import Batches
from optimum_dynexec.training.decoder.evaluation import Agreement, evaluate
from optimum_dynexec.training.decoder.features import compute_features

from .questions import TASKS, encode, load_questions


ROWS = 512


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    files = sorted(args.heads.glob(f"*{SUFFIX}"))
    if not files:
        raise SystemExit(f"{args.heads} contains no heads")
    for name, value in environment().items():
        print(f"{name}: {value}")
    backbone = ov.Core().read_model(args.model / "openvino_model.xml")
    matrix, embedding = (torch.from_numpy(f(backbone)) for f in (unembedding, embedding_matrix))
    heads = [_load(path, matrix) for path in files]
    questions = load_questions(args.questions, args.max_questions_per_category)
    tasks = [task for task in TASKS if any(question.task == task for question in questions)]
    with tempfile.TemporaryDirectory() as directory:
        tokenizer = AutoTokenizer.from_pretrained(args.model)
        model = DynExecModelForCausalLM.from_pretrained(args.model, precision=args.precision)
        greedy = ContinuationArguments(max_new_tokens=args.max_new_tokens, max_prompt_tokens=10**6, sampled_every=0)
        texts = own_continuations(model, [encode(tokenizer, q.text) for q in questions], directory, greedy)
        del model
        names = find_layer_boundaries(backbone)
        layers = sorted({layer for head in heads for layer in head.config.layers_read})
        features = compute_features(backbone, {layer: names[layer] for layer in layers}, texts, directory)
        result = {}
        for head in heads:
            batches = Batches(head, features, embedding, ROWS, "cpu")
            groups = {task: [i for i, q in enumerate(questions) if q.task == task] for task in tasks}
            groups["overall"] = list(range(len(questions)))
            result[head.config.name] = {group: evaluate(batches, chosen) for group, chosen in groups.items()}
    print(f"\n{len(questions)} questions, up to {args.max_new_tokens} tokens, {args.precision} precision\n")
    columns = ["head", *tasks, "overall"]
    cells = [[name, *(_cell(groups[column]) for column in columns[1:])] for name, groups in result.items()]
    print(markdown(columns, cells))
    for name, groups in result.items():
        steps = " ".join(f"{share:.3f}" for share in groups["overall"].by_step)
        print(
            f"{name}: share of drafts with at least 1, 2, ... accepted tokens: {steps};"
            f" {groups['overall'].tokens} tokens"
        )
    if args.out:
        plain = {name: {group: asdict(a) for group, a in groups.items()} for name, groups in result.items()}
        args.out.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="Directory of an export.")
    parser.add_argument("--heads", type=Path, required=True, help="Directory of safetensors files.")
    parser.add_argument("--questions", required=True, help="code-editing, or a .jsonl file of Spec-Bench.")
    parser.add_argument("--precision", choices=("exact", "fast"), default="exact", help="Precision of the answers.")
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
    parser.add_argument("--out", type=Path, help="JSON file for the results.")
    return parser.parse_args(argv)


def _load(path: Path, matrix: torch.Tensor) -> HeadModule:
    config, tensors = load_head(path)
    head = make_head(config, torch.from_numpy(tensors["token_ids"]), matrix)
    for name, parameter in head.named_parameters():
        parameter.data.copy_(torch.from_numpy(tensors[name]))
    return head


def _cell(agreement: Agreement) -> str:
    if agreement.steps == 1:
        return f"{agreement.first:.3f}"
    return f"{agreement.first:.3f}; {agreement.accepted:.2f} of {agreement.steps}"


if __name__ == "__main__":
    main()
