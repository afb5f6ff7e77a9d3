"""What a grammar saves: answers in JSON that follow a schema, greedily.

    python -m benchmarks.structured --model DIRECTORY --questions spec_bench_questions.jsonl

Each question is answered without drafts, with `speculation="auto"` whose drafts know nothing of the grammar, and with
`"auto"` where the grammar drafts what it forces and forbidden draft tokens are not verified. `openvino_genai` answers
with its own grammar for the same schema. The grammars differ in the spaces that they allow, so only our own answers
are compared with each other.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import openvino_genai
from llguidance import LLMatcher
from tqdm import tqdm
from transformers import AutoTokenizer, LogitsProcessor

from optimum_dynexec import DynExecModelForCausalLM
from optimum_dynexec.benchmark.decoding import new_memory, timed_generate
from optimum_dynexec.benchmark.environment import environment
from optimum_dynexec.benchmark.generation import Generation, generation_figures
from optimum_dynexec.benchmark.markdown import markdown
from optimum_dynexec.serving.grammar import Grammars

from .genai_systems import GenaiSystem
from .models import eos_token_ids
from .questions import encode, load_questions
from .systems import Setting


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "language_of_the_question": {"enum": ["english", "german", "other"]},
        "kind_of_question": {"enum": ["fact", "opinion", "calculation", "creative writing", "translation", "summary"]},
        "short_answer": {"type": "string", "maxLength": 120},
        "confidence_in_percent": {"type": "integer", "minimum": 0, "maximum": 100},
        "needs_a_source": {"type": "boolean"},
    },
    "additionalProperties": False,
}
SCHEMA["required"] = list(SCHEMA["properties"])
INSTRUCTION = "{}\n\nAnswer with a JSON object with the keys " + ", ".join(SCHEMA["required"]) + "."
PLAIN, UNGUIDED, GUIDED, GENAI = "dynexec-plain", "dynexec-auto, grammar only masks", "dynexec-auto", "genai-plain"


class Masks(LogitsProcessor):
    """
    A processor of which drafts know nothing.

    Args:
        processor (`LogitsProcessor`): what it does.
    """

    def __init__(self, processor: LogitsProcessor):
        self._processor = processor

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        return self._processor(input_ids, scores)


class StructuredGenai(GenaiSystem):
    """`openvino_genai.LLMPipeline` with a schema."""

    def load(self, setting: Setting, shared: dict[Any, Any]) -> None:
        super().load(setting, shared)
        self.generation_config.structured_output_config = openvino_genai.StructuredOutputConfig(
            json_schema=json.dumps(SCHEMA)
        )


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    for name, value in {**vars(args), **environment()}.items():
        print(f"{name}: {value}")
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = DynExecModelForCausalLM.from_pretrained(args.model, precision=args.precision)
    eos = eos_token_ids(args.model)
    grammars = Grammars(tokenizer, model.engine.paged_model.vocab_size, eos)
    compiled = grammars.of_schema(SCHEMA, "schema")
    genai = StructuredGenai(GENAI, "plain", "")
    genai.load(Setting(args.model, None, args.precision, eos), {})
    questions = load_questions(args.questions, args.max_questions_per_category, args.seed)
    prompts = [encode(tokenizer, INSTRUCTION.format(question.text)) for question in questions]
    memories = {name: new_memory(model) for name in (PLAIN, UNGUIDED, GUIDED)}
    answers: dict[str, list[Generation]] = {name: [] for name in (*memories, GENAI)}
    names = list(answers)
    for index, ids in enumerate(tqdm(prompts, unit="question")):
        for name in names[index % len(names) :] + names[: index % len(names)]:
            if name == GENAI:
                answers[name].append(genai.generate(ids, args.max_new_tokens))
            else:
                processor = processor_for(name, grammars, compiled, len(ids))
                options = {"speculation": "off" if name == PLAIN else "auto", "logits_processor": [processor]}
                answers[name].append(timed_generate(model, memories[name], ids, args.max_new_tokens, **options))
    print(f"\n{table(answers)}")


def processor_for(name: str, grammars: Grammars, compiled: LLMatcher, prompt_length: int) -> LogitsProcessor:
    """The logits processor of one answer."""
    processor = grammars.processor(compiled, prompt_length)
    return Masks(processor) if name == UNGUIDED else processor


def table(answers: dict[str, list[Generation]]) -> str:
    """Speed, and tokens for each pass."""
    figures = {name: generation_figures([[one] for one in made]) for name, made in answers.items()}
    rows = []
    for name, found in figures.items():
        equal = sum(one.tokens == other.tokens for one, other in zip(answers[name], answers[PLAIN], strict=True))
        rows.append(
            [
                name,
                f"{found.tokens_per_second:.1f}",
                f"{found.tokens_per_second / figures[PLAIN].tokens_per_second:.2f}",
                f"{found.tokens_per_second / figures[GENAI].tokens_per_second:.2f}",
                f"{found.mean_accepted_length:.2f}",
                "" if found.acceptance_rate is None else f"{found.acceptance_rate:.2f}",
                "" if name == GENAI else f"{equal} of {len(answers[name])}",
            ]
        )
    ratios = ["x plain", "x openvino_genai", "tokens per pass", "acceptance rate", "same as plain"]
    return markdown(["system", "tokens/s", *ratios], rows)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="Directory of an export.")
    parser.add_argument("--questions", default="open", help="open, code-editing, or a .jsonl file of Spec-Bench.")
    parser.add_argument("--precision", default="auto", help="Precision of our model.")
    parser.add_argument("--max-questions-per-category", type=int, default=2, metavar="N", help="Of each category.")
    parser.add_argument("--max-new-tokens", type=int, default=150, metavar="N", help="New tokens of each answer.")
    parser.add_argument("--seed", type=int, default=0, help="Random seed of the choice of questions.")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
