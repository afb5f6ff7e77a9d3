"""Decoders."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import openvino as ov

from ...directory.config import DynExecConfig
from ...tuning.halving import Measurement, Run, Trial
from ...utils.losses import Loss, disagreement
from ..arguments import OptimizeArguments
from ..recipes import RECIPES
from ..splits import parts_of, write_texts
from .base import Kind


if TYPE_CHECKING:
    from ...directory.calibration import Calibration
    from ...quantization import CalibrationData


BENCHMARK_PROMPTS = 20
INT4 = {
    "bits": 4,
    "weight_only": True,
    "dtype": "int4",
    "group_size": 128,
    "group_size_fallback": "adjust",
    "quant_method": "awq",
    "scale_estimation": True,
}


class Decoder(Kind):
    """Decoders, which use a draft head. It does not change the output, so only quantization costs quality."""

    name = "decoder"
    noun = "a decoder"
    loss_name = "disagreement"
    loss_unit = "tokens"
    formats: ClassVar[Mapping[str, dict[str, Any]]] = {
        "int8": {"bits": 8, "dtype": "int8", "weight_only": True},
        "int4": {**INT4, "ratio": 1.0},
        "int4-mixed": {**INT4, "ratio": 0.6},
    }

    def split(self, sources: Sequence[str], directory: Path, args: OptimizeArguments) -> tuple[dict[str, str], int]:
        from ...data.texts import read_texts

        texts = list(dict.fromkeys(text for source in sources for text in read_texts(source)))
        parts = parts_of(len(texts), args.max_samples, args.seed)
        names = write_texts(directory, [{"prompt": text} for text in texts], parts)
        return names, sum(map(len, parts.values()))

    def quantization_data(self, part: str, args: OptimizeArguments) -> "CalibrationData":
        from ...quantization import CalibrationData

        return CalibrationData([part], continuations="own", max_samples=args.quantization_samples, seed=args.seed)

    def losses(
        self, base: Path, others: Mapping[str, Path], part: str, args: OptimizeArguments, cache: Path
    ) -> dict[str, Loss]:
        texts = self._answers(base, part, args, cache)
        expected = predictions(base, texts)
        return {
            name: disagreement(
                [own != base for own, base in zip(predictions(directory, texts), expected, strict=True)]
            )
            for name, directory in others.items()
        }

    def _answers(self, base: Path, part: str, args: OptimizeArguments, cache: Path) -> list[Any]:
        from transformers import AutoTokenizer

        from ...data.continuations import ContinuationArguments, own_continuations
        from ...data.texts import chat_prompts, read_texts
        from ...modeling import DynExecModelForCausalLM

        prompts = chat_prompts(read_texts(part), AutoTokenizer.from_pretrained(base))
        answering = ContinuationArguments(max_new_tokens=args.max_new_tokens, sampled_every=0, seed=args.seed)
        model = DynExecModelForCausalLM.from_pretrained(base, precision="exact")
        return own_continuations(model, prompts, cache, answering)

    def runs(
        self, directories: Mapping[str, Path], part: str, args: OptimizeArguments, objective: str
    ) -> tuple[list[Any], Run]:
        from ...tuning.arguments import TuningArguments
        from ...tuning.decoder import Models, read_prompts

        tuning = TuningArguments(objective=objective, max_samples=8, max_new_tokens=64, seed=args.seed)
        models = {name: Models(directory, tuning) for name, directory in directories.items()}
        load = {"precision": "fast", "threads": None, "cut": False}

        def run(trial: Trial, item: list[list[int]]) -> Measurement:
            trial.options.update(load=load, call={"speculation": "off"})
            return models[trial.options["format"]].run(trial, item)

        return read_prompts(next(iter(directories.values())), [part], tuning), run

    def train(
        self, directory: Path, heads: Path, part: str, args: OptimizeArguments, progress: bool
    ) -> tuple[dict[Path, str], list[str]]:
        from ...data.continuations import ContinuationArguments
        from ...training.decoder.train import train_heads
        from ...training.decoder.trainer import TrainingArguments

        epochs: dict[str, Any] = {} if args.epochs is None else {"epochs": args.epochs}
        trained = train_heads(
            directory,
            heads,
            data=[part],
            layers=args.layers,
            # With a recipe without heads, `layers` requests exit heads only.
            draft_head=RECIPES[args.recipe].heads[self.name],
            continuation_arguments=ContinuationArguments(max_new_tokens=args.max_new_tokens, seed=args.seed),
            training_arguments=TrainingArguments(seed=args.seed, **epochs),
            vocab_size=args.vocab_size,
            progress=progress,
        )
        return {head.path: f"{head.name}: {head.agreement}" for head in trained}, []

    def calibrate(
        self, directory: Path, part: str, epsilon: float, args: OptimizeArguments, progress: bool
    ) -> "Calibration | None":
        from ...calibration import CalibrationArguments, RecordingArguments, calibrate_decoder

        if not any(head.layer is not None for head in DynExecConfig.from_pretrained(directory).heads.values()):
            return None
        return calibrate_decoder(
            directory,
            data=[part],
            recording=RecordingArguments(max_new_tokens=args.max_new_tokens, seed=args.seed),
            args=CalibrationArguments(risk="token_disagreement", epsilon=epsilon, delta=args.delta),
            progress=progress,
        )

    def benchmark_samples(self, args: OptimizeArguments) -> int:
        # Enough for the speed. The loss, that of perplexity, is measured on the tokens of all inputs.
        return BENCHMARK_PROMPTS

    def benchmark_options(self, part: str) -> dict[str, Any]:
        # Without perplexity, the loss of quantization would be unknown, and the report could not judge it.
        return {"perplexity_data": [part]}

    def dynamic_options(self, options: Mapping[str, Any]) -> dict[str, Any] | None:
        # If no speculation was found to be faster, the report shows the result of `auto`.
        return {"speculation": "auto"} if options.get("speculation") == "off" else dict(options)


def predictions(directory: Path, texts: Sequence[Any]) -> list[np.ndarray]:
    """
    Predicts each token of given answers from the tokens before it, computed in float32.

    Args:
        directory (`Path`): directory of the export.
        texts (`Sequence[Text]`): prompts with answers.

    Returns:
        `list[np.ndarray]`: the predicted tokens of each answer, int64 `[tokens of the answer]`.
    """
    from ...precision import FLOAT32_OV_CONFIG

    compiled = ov.Core().compile_model(directory / "openvino_model.xml", "CPU", FLOAT32_OV_CONFIG)
    request, names = compiled.create_infer_request(), {n for value in compiled.inputs for n in value.get_names()}
    found = []
    for text in texts:
        ids = np.array([text.tokens[:-1]], np.int64)
        feed = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "position_ids": np.arange(ids.shape[1], dtype=np.int64)[None],
            "beam_idx": np.zeros(1, np.int32),
        }
        request.reset_state()
        logits = request.infer({name: value for name, value in feed.items() if name in names})["logits"]
        found.append(logits[0, text.first - 1 :].argmax(-1))
    return found
