"""Defines the command line for `optimum-cli dynexec calibrate`. It is loaded at every call of `optimum-cli`."""

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from optimum.commands.base import BaseOptimumCLICommand

from ..early_exit.criteria import criterion_names
from ..precision import PRECISIONS
from .columns import add_column_arguments, read_columns
from .running import STATUS, Outcome, add_common_arguments, describe, run_command


if TYPE_CHECKING:
    from ..directory.calibration import Calibration


# What the registries hold; they are not asked, as that would load numpy.
METHODS = ("hoeffding_bentkus", "wsr", "binomial", "conformal")
CANDIDATES = ("shared", "per_exit")
DECODER_RISKS = ("token_disagreement", "accuracy")
ENCODER_RISKS = ("disagreement", "accuracy")
NO_THRESHOLD = 3
# Texts that are asked about, of a decoder, if nothing is said.
MAX_TEXTS = 500
# Options that are fields of CalibrationArguments.
GUARANTEE = ("epsilon", "delta", "criterion", "method", "candidates")
DESCRIPTION = """\
Finds thresholds for early exit with a risk of at most epsilon, with confidence
1 - delta, and writes them to dynexec_config.json.
`early_exit="calibrated"` uses them. For classifiers, --budget-flops finds thresholds
for a mean number of operations instead.

For a decoder, the risk is the mean over texts of the share of tokens for which
leaving early would be wrong, each given the full model's own answer before it. For
a classifier, it is the share of its inputs. What counts is the number of texts:
without any error, 59 texts show a risk of at most 5% with confidence 95%.
The texts must come from the same distribution as those in use, and must not be those
that the heads were trained on.

Calibrate again when the model is quantized or exported again, or when its heads
change. Until then, thresholds of another model are refused."""


class CalibrateCommand(BaseOptimumCLICommand):
    @staticmethod
    def parse_args(parser: ArgumentParser):
        status = STATUS.replace(
            "  130", f"  {NO_THRESHOLD}    no threshold can be guaranteed with this amount of data\n  130"
        )
        describe(parser, DESCRIPTION, status)
        parser.add_argument("model", metavar="MODEL_DIR", help="Directory of an export that has exit heads.")
        parser.add_argument(
            "--data",
            action="append",
            required=True,
            metavar="FILE[:COLUMN]",
            help="Calibration data. For a decoder, prompts: a .jsonl, .csv or .txt file, or the id of a data set on"
            " the Hub. For a classifier, FILE without a column, also a directory with a folder of images for each"
            " label, or an .npz file. Repeatable.",
        )
        group = parser.add_argument_group("Guarantee")
        group.add_argument(
            "--risk",
            default=None,
            help="token_disagreement for language models, or disagreement for classifiers: the exit differs from"
            " the full model. accuracy: the full model is right and the exit is wrong, about the text's next token"
            " (texts are then used as they are) or the label. package.module:function: your own risk. Default:"
            " token_disagreement or disagreement.",
        )
        group.add_argument("--epsilon", type=float, default=0.05, help="Largest risk. Default: %(default)s.")
        group.add_argument(
            "--delta",
            type=float,
            default=0.05,
            help="Probability of a larger risk; the confidence is 1 - delta. Default: %(default)s, which is 95%%"
            " confidence.",
        )
        group.add_argument(
            "--criterion",
            choices=criterion_names(),
            default="max_prob",
            help="Criterion of early exit, which is compared with the threshold. Default: %(default)s.",
        )
        group.add_argument(
            "--method",
            choices=METHODS,
            default="hoeffding_bentkus",
            help="hoeffding_bentkus, wsr (often stronger) and binomial (one token per text): Learn then Test with this"
            " p-value. conformal: a bound on the expected risk, without delta. Default: %(default)s.",
        )
        group.add_argument(
            "--thresholds",
            dest="candidates",
            choices=CANDIDATES,
            default="shared",
            help="shared: the same threshold at all exits. per_exit: one threshold for each exit; the test then"
            " cannot use 3 in 10 texts. Default: %(default)s.",
        )
        group.add_argument(
            "--budget-flops",
            type=float,
            default=None,
            metavar="SHARE",
            help="For classifiers: the mean share of the full model's operations, instead of a risk.",
        )
        group = parser.add_argument_group("Data")
        add_column_arguments(group)
        group.add_argument(
            "--continuations",
            choices=("own", "text"),
            default=None,
            help="own: use the model's own answers. text: use the texts as they are. Default: own, or text"
            " for the risk accuracy.",
        )
        group.add_argument(
            "--max-samples",
            type=int,
            default=None,
            help="Maximum number of texts, drawn at random. Default: 500 for decoders, all for others.",
        )
        group.add_argument(
            "--max-new-tokens",
            type=int,
            default=128,
            help="Maximum number of tokens in an answer. Default: %(default)s.",
        )
        group.add_argument("--seed", type=int, default=0, help="Random seed. Default: %(default)s.")
        group.add_argument(
            "--precision",
            choices=PRECISIONS,
            default="auto",
            help="Precision in which the model will be used. Default: %(default)s.",
        )
        group.add_argument("--device", default="CPU", help="OpenVINO device. Default: %(default)s.")
        group.add_argument(
            "--cache-dir", default=None, help="Directory that keeps answers and records for the next call."
        )
        add_common_arguments(parser)

    def run(self):
        run_command("calibrate", self.args, self._calibrate, {"NoThresholdError": NO_THRESHOLD})

    def _calibrate(self) -> Outcome:
        from ..directory.calibration import percent
        from ..directory.config import DECODER_TASK, ENCODER_TASKS, DynExecConfig
        from ..utils.intervals import interval_text

        calibrators = {
            DECODER_TASK: (_calibrate_decoder, "tokens", DECODER_RISKS),
            **dict.fromkeys(ENCODER_TASKS, (_calibrate_encoder, "samples", ENCODER_RISKS)),
        }
        config = DynExecConfig.from_pretrained(self.args.model)
        calibrator, unit, risks = calibrators[config.task]
        _check_risk(self.args.risk, risks, config.task)
        found = calibrator(self.args)
        aim = f"Guarantee: {found.guarantee}"
        if found.budget_flops is not None:
            aim = f"Goal: {percent(found.budget_flops)} of the operations, without a guarantee"
        risk = found.risk_words.capitalize() if found.risk in risks else f"Risk {found.risk}"
        lines = [
            aim,
            f"{risk}: {found.measured_risk:.2%} ({interval_text(found.risk_interval)}) on {_counts(found)}",
            f"Layers per {unit[:-1]}: {found.mean_layers:.1f} of {found.num_layers}",
            *([] if found.mean_flops is None else [f"Operations: {found.mean_flops:.1%} of the full model's"]),
            *accuracy_lines(found),
            *(_exit_line(found, layer, unit) for layer in found.thresholds),
            *(f"Warning: {warning}" for warning in found.warnings),
            *_replaced(config.calibration),
            f"Written to {self.args.model}/dynexec_config.json",
        ]
        return {**found.to_dict(), "guarantee": found.guarantee, "warnings": found.warnings}, lines


def _check_risk(risk: str | None, accepted: tuple[str, ...], task: str) -> None:
    """Checks the name of a risk. One with a colon is a function of the user."""
    if risk is not None and ":" not in risk and risk not in accepted:
        raise ValueError(
            f"--risk must be one of {', '.join(accepted)} for the task {task!r}, or package.module:function, but it is"
            f" {risk!r}"
        )


def _counts(found: "Calibration") -> str:
    texts = f"{found.num_texts} {found.unit}"
    if found.num_samples == found.num_texts:
        return texts
    # A model for token classification or question answering gives several answers to a sample.
    return f"{found.num_samples} {'answers to' if found.unit == 'samples' else 'tokens of'} {texts}"


def _replaced(values: object) -> list[str]:
    """What a calibration replaces, as `dynexec_config.json` described it."""
    from ..directory.calibration import Calibration

    if values is None:
        return []
    try:
        earlier = Calibration.from_dict(values)
    except ValueError:
        return ["Replaces an earlier calibration, which could not be read"]
    when = "an earlier date" if earlier.calibrated_on is None else earlier.calibrated_on
    aim = f"budget {earlier.budget_flops}" if earlier.epsilon is None else f"epsilon {earlier.epsilon:g}"
    return [f"Replaces the calibration of {when} ({aim}, {earlier.num_texts} {earlier.unit})"]


def _calibrate_decoder(args: Namespace) -> "Calibration":
    from ..calibration import CalibrationArguments, RecordingArguments, calibrate_decoder

    if args.budget_flops is not None:
        raise ValueError("--budget-flops is for classifiers, but this model is a decoder")
    options = read_options(args)
    return calibrate_decoder(
        args.model,
        data=args.data,
        args=CalibrationArguments(**options["guarantee"]),
        recording=RecordingArguments(**options["recording"]),
        cache_dir=args.cache_dir,
    )


def _calibrate_encoder(args: Namespace) -> "Calibration":
    from ..calibration import CalibrationArguments, EncoderRecordingArguments, calibrate_encoder
    from ..data.samples import Columns

    recording = EncoderRecordingArguments(
        columns=Columns(**read_columns(args)),
        **{name: getattr(args, name) for name in ("max_samples", "max_length", "precision", "device", "seed")},
    )
    return calibrate_encoder(
        args.model,
        data=args.data,
        args=CalibrationArguments(args.risk or "disagreement", **{name: getattr(args, name) for name in GUARANTEE}),
        recording=recording,
        budget_flops=args.budget_flops,
    )


def accuracy_lines(found: "Calibration") -> list[str]:
    """
    How often the full model is right, and the one that leaves early; nothing without labels.

    Args:
        found ([`Calibration`]): to explain.
    """
    if found.full_accuracy is None or found.accuracy is None:
        return []
    texts = f"{found.num_texts} {found.unit}"
    # Of tokens, texts differ more than single answers would: no simple interval holds.
    if found.num_samples == found.num_texts:
        from ..utils.intervals import interval_text, proportion_interval

        interval = proportion_interval(round(found.full_accuracy * found.num_texts), found.num_texts)
        texts = f"{interval_text(interval)}, {texts}"
    return [f"Accuracy: {found.accuracy:.2%} with early exit, {found.full_accuracy:.2%} of the full model ({texts})"]


def _exit_line(found: "Calibration", layer: int, unit: str) -> str:
    share, threshold = found.exit_shares[layer], found.thresholds[layer]
    return f"After layer {layer}: {share:.1%} of {unit} leave, threshold of {found.criterion} {threshold:.6g}"


def read_options(arguments: Namespace) -> dict[str, Any]:
    """
    The command line as fields of `CalibrationArguments`, under `guarantee`, and of `RecordingArguments`, under
    `recording`.
    """
    asked = ("continuations", "max_samples", "max_new_tokens", "precision", "device", "seed")
    recording = {name: getattr(arguments, name) for name in asked}
    if recording["continuations"] is None:
        recording["continuations"] = "text" if arguments.risk == "accuracy" else "own"
    if recording["max_samples"] is None:
        recording["max_samples"] = MAX_TEXTS
    return {
        "guarantee": {
            "risk": arguments.risk or "token_disagreement",
            **{name: getattr(arguments, name) for name in GUARANTEE},
        },
        "recording": recording,
    }
