"""Calibrates a classifier, also of tokens or spans, in a directory."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import openvino as ov
from tqdm import tqdm

from ..directory.calibration import Calibration
from ..directory.config import DynExecConfig
from ..directory.errors import CalibrationError
from ..directory.freshness import hash_heads, save_calibration
from ..directory.hashes import hash_model
from ..directory.one_label import check_one_label
from ..precision import PRECISIONS, precision_properties, resolve_precision
from .arguments import CalibrationArguments, check_fields
from .budget import calibrate_budget
from .flops import exit_costs
from .main import calibrate
from .needed_texts import check_count
from .recording import exit_statistics
from .records import ExitRecords
from .risks import check_risk, find_risk
from .unseen import check_unseen


if TYPE_CHECKING:
    from ..data.inputs import Inputs
    from ..data.samples import Columns, Samples
    from ..runtime.encoder_exits import EncoderExits

BATCH_SIZE = 32
# (outputs by name, row of the batch, which positions are tokens) -> the logits of each distribution of a sample
Distributions = Callable[[Mapping[str, np.ndarray], int, np.ndarray | None], list[np.ndarray]]


def _of_label(outputs: Mapping[str, np.ndarray], row: int, mask: np.ndarray | None) -> list[np.ndarray]:
    return [outputs["logits"][row]]


def _of_tokens(outputs: Mapping[str, np.ndarray], row: int, mask: np.ndarray | None) -> list[np.ndarray]:
    return list(outputs["logits"][row][mask])


def _of_span(outputs: Mapping[str, np.ndarray], row: int, mask: np.ndarray | None) -> list[np.ndarray]:
    return [outputs[name][row][mask] for name in ("start_logits", "end_logits")]


# As in csrc/encoder: a sample leaves when all of its distributions may leave.
DISTRIBUTIONS: dict[str, Distributions] = {
    "text-classification": _of_label,
    "image-classification": _of_label,
    "audio-classification": _of_label,
    "token-classification": _of_tokens,
    "question-answering": _of_span,
}


@dataclass(frozen=True)
class EncoderRecordingArguments:
    """
    The data on which a classifier and its exit heads are recorded.

    Args:
        columns ([`~data.samples.Columns`], *optional*): columns of a row.
        max_samples (`int`, *optional*): maximum number of samples, which are drawn at random. If not set: all.
        max_length (`int`, *optional*, defaults to 128):
            maximum number of tokens in a text; longer texts are truncated.
        precision (`str`, *optional*, defaults to `"auto"`): precision in which the model will be used.
        device (`str`, *optional*, defaults to `"CPU"`): OpenVINO device.
        seed (`int`, *optional*, defaults to 0): random seed.

    Raises:
        [`~directory.errors.CalibrationError`]: if a value is not accepted.
    """

    columns: "Columns | None" = None
    max_samples: int | None = None
    max_length: int = 128
    precision: str = "auto"
    device: str = "CPU"
    seed: int = 0

    def __post_init__(self) -> None:
        check_fields(self, choices={"precision": PRECISIONS}, least={"max_samples": 1, "max_length": 1})


@dataclass(frozen=True)
class EncoderRecords:
    """
    The predictions and the costs of a classifier's exits.

    Args:
        records ([`~calibration.ExitRecords`]): records with one sample in each text.
        costs (`np.ndarray` float64 `[exits + 1]`):
            Costs of the exits for a sample of median length; see [`~calibration.flops.exit_costs`].
    """

    records: ExitRecords
    costs: np.ndarray = field(repr=False)


def calibrate_encoder(
    directory: str | Path,
    *,
    data: list[str],
    args: CalibrationArguments | None = None,
    recording: EncoderRecordingArguments | None = None,
    budget_flops: float | None = None,
    progress: bool = True,
) -> Calibration:
    """
    Finds thresholds for the exit heads of a classifier and writes them, with their guarantee, to its
    `dynexec_config.json`.

    Args:
        directory (`str` or `Path`): directory of an export with exit heads.
        data (`list[str]`):
            Samples, as accepted by [`~data.samples.read_samples`]. Neither the heads nor the model may have been
            trained on them.
        recording ([`EncoderRecordingArguments`], *optional*): settings of the recording.
        args ([`CalibrationArguments`], *optional*): limit of the risk and method of the calibration.
        budget_flops (`float`, *optional*):
            Mean share of the full model's operations, instead of a risk; see
            [`~calibration.budget.calibrate_budget`].
        progress (`bool`, *optional*, defaults to `True`): whether to show a progress bar.

    Returns:
        [`Calibration`]: the calibration written.

    Raises:
        [`~calibration.NoThresholdError`]: if no threshold can be guaranteed; `dynexec_config.json` is not changed.
        `ValueError`: if an argument is not accepted, or the model has no exit heads.
    """
    args = args or CalibrationArguments()
    if budget_flops is not None:
        _check_budget_task(directory)
    recording = recording or EncoderRecordingArguments()
    needs = args if budget_flops is None else None
    found = record_encoder(directory, data, recording, needs=needs, progress=progress)
    if budget_flops is not None:
        made = calibrate_budget(
            found.records,
            found.costs,
            budget_flops,
            criterion=args.criterion,
            tuning_share=args.tuning_share,
            seed=recording.seed,
        )
    else:
        made = calibrate(found.records, args, seed=recording.seed)
    shares = [made.calibration.exit_shares[layer] for layer in sorted(made.calibration.exit_shares)]
    calibration = replace(made.calibration, mean_flops=float(np.array(shares) @ found.costs))
    return save_calibration(calibration, made.criterion.content(), directory)


def _check_budget_task(directory: str | Path) -> None:
    task = DynExecConfig.from_pretrained(directory).task
    single = [name for name, distributions in DISTRIBUTIONS.items() if distributions is _of_label]
    if task in DISTRIBUTIONS and task not in single:
        raise CalibrationError(
            f"`budget_flops` is for models that predict one label ({', '.join(single)}), but {directory} was exported"
            " for"
            f" the task {task!r}: leave it out"
        )


def record_encoder(
    directory: str | Path,
    data: list[str],
    args: EncoderRecordingArguments,
    *,
    needs: CalibrationArguments | None = None,
    progress: bool = True,
) -> EncoderRecords:
    """
    Records the predictions of a classifier and its exit heads for samples.

    Args:
        directory (`str` or `Path`): directory of an export with exit heads.
        data (`list[str]`): samples, as accepted by [`~data.samples.read_samples`].
        args ([`EncoderRecordingArguments`]): settings of the recording.
        needs ([`CalibrationArguments`], *optional*):
            calibration that the records are for. Whether the data suffices for it is checked before the model runs.
        progress (`bool`, *optional*, defaults to `True`): whether to show a progress bar.

    Raises:
        [`~calibration.NoThresholdError`]: if there are too few samples for `needs`.
        `ValueError`: if the model has no exit heads or is not a classifier, the heads were trained on these samples,
            or the data does not suit the model.
    """
    from transformers import AutoConfig

    from ..data.inputs import load_inputs
    from ..data.samples import draw, read_samples
    from ..runtime.encoder_exits import EncoderExits

    directory = Path(directory)
    args = replace(args, precision=resolve_precision(args.precision, compressed=False))
    model, config, heads = load_exits(directory)
    hashes = hash_heads(directory, config)
    samples = draw(read_samples(data, args.columns, split="validation"), args.max_samples, args.seed)
    # A sample has one label, not one for each of several answers.
    single = DISTRIBUTIONS[config.task] is _of_label
    labels = None
    if single:
        model_config = AutoConfig.from_pretrained(directory)
        check_one_label(model_config)
        labels = samples.label_ids(model_config.label2id)
    if needs is not None:
        check_risk(find_risk(needs.risk)[1], labels, len(heads))
        check_count(len(samples), needs, "samples")
    check_unseen(config, samples.hashes, data, "samples")
    inputs, _ = load_inputs(directory, config.task)
    boundaries = {layer: config.hidden_state_names[layer] for layer in heads}
    runner = EncoderExits(model, args.device, precision_properties(args.precision, False), boundaries, heads)
    said = _ask(runner, samples, inputs, args.max_length, config.task, progress)
    words = np.arange(max(len(row) for row in said.exits[0]))
    statistics = exit_statistics(said.exits, [words] * len(said.exits))
    records = ExitRecords(
        tuple(heads),
        len(config.hidden_state_names),
        replace(statistics, certainty=said.certainty),
        said.full,
        said.sizes,
        labels,
        model_hash=hash_model(directory),
        head_hashes=hashes,
        source={"data": list(map(str, data)), "data_hash": samples.data_hash, **asdict(args)},
        together=not single,
    )
    wanted = {value.get_any_name() for value in model.inputs}
    typical = {name: [1, *shape[1:]] for name, shape in said.shapes.items() if name in wanted}
    return EncoderRecords(records, exit_costs(model, boundaries, heads, typical))


def load_exits(directory: Path) -> tuple[ov.Model, DynExecConfig, dict[int, ov.Model]]:
    """
    Reads a classifier and its exit heads from disk.

    Args:
        directory (`Path`): directory of an export with exit heads.

    Returns:
        `tuple`: the model, its configuration, and the heads by layer, ascending.

    Raises:
        [`~directory.errors.CalibrationError`]: if the model is not a classifier, or has no exit heads.
    """
    from ..directory.attached_heads import exit_heads
    from ..directory.loading import read_export

    config = DynExecConfig.from_pretrained(directory)
    if config.task not in DISTRIBUTIONS:
        raise CalibrationError(
            f"{directory} was exported for the task {config.task!r}, but encoders can be calibrated for"
            f" {list(DISTRIBUTIONS)}"
        )
    model, config, found = read_export(directory)
    heads = exit_heads(found)
    if not heads:
        raise CalibrationError(
            f"{directory} has no exit heads to calibrate: train them with `optimum-cli dynexec"
            f" train-heads {directory}`"
        )
    return model, config, heads


def _ask(
    runner: "EncoderExits", samples: "Samples", inputs: "Inputs", max_length: int, task: str, progress: bool
) -> "_Said":
    from ..data.batches import lengths_of, sorted_batches
    from ..data.inputs import with_defaults
    from ..heads.encoder_ir import CERTAINTY

    distributions = DISTRIBUTIONS[task]
    batches = sorted_batches(lengths_of(samples.inputs), BATCH_SIZE)
    order = np.argsort(np.concatenate(batches), kind="stable")
    full: list[list[np.ndarray]] = []
    exits: list[list[list[np.ndarray]]] = [[] for _ in runner.exit_layers]
    certainties = []
    shapes: dict[str, tuple[int, ...]] = {}
    with tqdm(total=len(samples), desc="exits", unit="sample", disable=not progress) as bar:
        for index, indices in enumerate(batches):
            feed = with_defaults(inputs(samples.select(indices), max_length))
            mask = feed.get("attention_mask")
            outputs, _, said = runner(feed, [])
            for values, found in zip([outputs, *(said[layer] for layer in sorted(said))], [full, *exits], strict=True):
                found += [
                    distributions(values, row, None if mask is None else mask[row] > 0) for row in range(len(indices))
                ]
            if all(CERTAINTY in values for values in said.values()):
                certainties.append(np.concatenate([said[layer][CERTAINTY] for layer in sorted(said)], axis=1))
            if index == len(batches) // 2:
                shapes = {name: value.shape for name, value in feed.items()}
            bar.update(len(indices))

    def rows(found: list[list[np.ndarray]]) -> list[np.ndarray]:
        return [row for sample in order for row in found[sample]]

    return _Said(
        [rows(found) for found in exits],
        np.concatenate(certainties)[order] if certainties else None,
        np.array([row.argmax() for row in rows(full)], np.int64),
        np.array([len(full[sample]) for sample in order], np.int64),
        shapes,
    )


@dataclass(frozen=True)
class _Said:
    """
    The outputs of a model for samples: the distributions of each exit; the certainties of the exits, if all
    have one, `[samples, exits]`; the full model's predictions; the number of distributions of each sample; and the
    shapes of a batch of samples of median length.
    """

    exits: list[list[np.ndarray]]
    certainty: np.ndarray | None
    full: np.ndarray
    sizes: np.ndarray
    shapes: dict[str, tuple[int, ...]]
