"""Calibrates a decoder in a directory."""

import hashlib
import json
import random
import tempfile
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import openvino as ov

from ..data.overlap import content_hash
from ..data.texts import chat_prompts, read_texts
from ..directory.calibration import Calibration
from ..directory.config import DynExecConfig
from ..directory.errors import CalibrationError
from ..directory.freshness import hash_heads, save_calibration
from ..directory.hashes import hash_model
from ..directory.staging import EXPORT_MARK
from ..graph.compressed_weights import has_compressed_products
from ..precision import PRECISIONS, precision_properties, resolve_precision
from .arguments import CalibrationArguments, check_fields
from .decoder_runner import NO_HEADS, DecoderRunner
from .main import calibrate
from .needed_texts import check_count
from .recording import RecordedText, record_texts
from .records import ExitRecords
from .unseen import check_unseen


@dataclass(frozen=True)
class RecordingArguments:
    """
    The data on which a decoder and its exit heads are recorded.

    Args:
        continuations (`str`, *optional*, defaults to `"own"`):
            `"own"`: the texts are prompts, and the predictions for the model's own greedy answers are recorded.
            `"text"`: the predictions for the given texts are recorded; the next tokens are the labels.
        max_samples (`int`, *optional*, defaults to 500): maximum number of texts, which are drawn at random.
        max_new_tokens (`int`, *optional*, defaults to 128): maximum number of tokens in an answer.
        precision (`str`, *optional*, defaults to `"auto"`):
            Precision in which the model will be used, as in `DynExecModelForCausalLM.from_pretrained`.
        device (`str`, *optional*, defaults to `"CPU"`): OpenVINO device.
        seed (`int`, *optional*, defaults to 0): random seed.

    Raises:
        [`~directory.errors.CalibrationError`]: if a value is not accepted.
    """

    continuations: str = "own"
    max_samples: int | None = 500
    max_new_tokens: int = 128
    precision: str = "auto"
    device: str = "CPU"
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(
            self,
            choices={"continuations": ("own", "text"), "precision": PRECISIONS},
            least={"max_samples": 1, "max_new_tokens": 2},
        )


def calibrate_decoder(
    directory: str | Path,
    *,
    data: list[str],
    args: CalibrationArguments | None = None,
    recording: RecordingArguments | None = None,
    cache_dir: str | Path | None = None,
    progress: bool = True,
) -> Calibration:
    """
    Finds thresholds for the exit heads of a decoder and writes them, with their guarantee, to its
    `dynexec_config.json`.

    Args:
        directory (`str` or `Path`): directory of an export with exit heads.
        data (`list[str]`):
            Files or data sets of texts, as accepted by [`~data.texts.read_texts`]. The heads must not have been
            trained on them.
        recording ([`RecordingArguments`], *optional*):
            Settings of the recording. If not set: the model's own answers, or for the risk `"accuracy"` the texts as
            they are.
        args ([`CalibrationArguments`], *optional*): limit of the risk and method of the calibration.
        cache_dir (`str` or `Path`, *optional*): directory that keeps answers and records for the next call.
        progress (`bool`, *optional*, defaults to `True`): whether to show progress bars.

    Returns:
        [`Calibration`]: the calibration written.

    Raises:
        [`~calibration.NoThresholdError`]: if no threshold can be guaranteed; `dynexec_config.json` is not changed.
        `ValueError`: if an argument is not accepted, or the model has no exit heads.
    """
    args = args or CalibrationArguments(risk="token_disagreement")
    recording = recording or RecordingArguments(continuations="text" if args.risk == "accuracy" else "own")
    records = record_decoder(directory, data, recording, needs=args, cache_dir=cache_dir, progress=progress)
    found = calibrate(records, args, seed=recording.seed)
    return save_calibration(found.calibration, found.criterion.content(), directory)


def record_decoder(
    directory: str | Path,
    data: list[str],
    args: RecordingArguments,
    *,
    needs: CalibrationArguments | None = None,
    cache_dir: str | Path | None = None,
    progress: bool = True,
) -> ExitRecords:
    """
    Records the predictions of a decoder and its exit heads for texts.

    Args:
        directory (`str` or `Path`): directory of an export with exit heads.
        data (`list[str]`): files or data sets of texts, as accepted by [`~data.texts.read_texts`].
        args ([`RecordingArguments`]): settings of the recording.
        needs ([`CalibrationArguments`], *optional*):
            calibration that the records are for. Whether there are enough texts is checked before the model runs.
        cache_dir (`str` or `Path`, *optional*): directory that keeps answers and records for the next call.
        progress (`bool`, *optional*, defaults to `True`): whether to show progress bars.

    Raises:
        [`~calibration.NoThresholdError`]: if there are too few texts for `needs`.
        `ValueError`: if the model has no exit heads, they were trained on these texts, or no text is long enough.
    """
    directory = Path(directory)
    config = DynExecConfig.from_pretrained(directory)
    heads = hash_heads(directory, config)
    if not heads:
        raise CalibrationError(NO_HEADS.format(directory))
    compressed = has_compressed_products(ov.Core().read_model(directory / EXPORT_MARK))
    args = replace(args, precision=resolve_precision(args.precision, compressed))
    with ExitStack() as stack:
        cache = Path(cache_dir) if cache_dir is not None else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found = [text for source in data for text in read_texts(source)]
        # Files are often sorted, so their first texts are not a random sample.
        random.Random(args.seed).shuffle(found)
        raw = found[: args.max_samples]
        if needs is not None:
            check_count(len(raw), needs, left_out=len(found) - len(raw))
        check_unseen(config, [content_hash(text.encode()) for text in raw], data)
        texts = _texts(directory, raw, args, cache, progress)
        identity: dict[str, Any] = {
            "model_hash": hash_model(directory),
            "head_hashes": heads,
            "source": {"data": list(data), **asdict(args)},
        }
        path = (
            cache / f"records-{_digest([identity, [[list(text.tokens), text.first] for text in texts]])}.safetensors"
        )
        if path.is_file():
            return ExitRecords.load(path)
        runner = DecoderRunner(directory, args.device, precision_properties(args.precision, compressed))
        records = record_texts(runner, texts, progress=progress, **identity)
        if cache_dir is not None:
            records.save(path)
        return records


def _texts(
    directory: Path, texts: list[str], args: RecordingArguments, cache: Path, progress: bool
) -> list[RecordedText]:
    from transformers import AutoTokenizer

    from ..data.continuations import ContinuationArguments, own_continuations
    from ..modeling import DynExecModelForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(directory)
    answering = ContinuationArguments(max_new_tokens=args.max_new_tokens, sampled_every=0, seed=args.seed)
    if args.continuations == "text":
        limit = answering.max_prompt_tokens
        return [RecordedText(tokenizer(text)["input_ids"][:limit], 0, labeled=True) for text in texts]
    model = DynExecModelForCausalLM.from_pretrained(directory, precision=args.precision, device=args.device)
    answers = own_continuations(model, chat_prompts(texts, tokenizer), cache, answering, progress=progress)
    # The first token of an answer comes from the prompt's pass, which runs all layers.
    return [RecordedText(answer.tokens, answer.first) for answer in answers]


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
