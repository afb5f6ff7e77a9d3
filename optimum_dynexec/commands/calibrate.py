"""Defines the command line for `optimum-cli dynexec calibrate`. It is loaded at every call of `optimum-cli`."""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import Any

from optimum.commands.base import BaseOptimumCLICommand

from .columns import add_column_arguments, read_columns
from .running import STATUS, Outcome, add_common_arguments, describe, run_command


# What the registries hold; they are not asked, as that would load numpy.
METHODS = ("hoeffding_bentkus", "wsr", "binomial", "conformal")
CANDIDATES = ("shared", "per_exit")
NO_THRESHOLD = 3
# Texts that are asked about, of a decoder, if nothing is said.
MAX_TEXTS = 500
# Options that calibration of decoders and of classifiers both have.
OF_BOTH = ("data", "epsilon", "delta", "criterion", "method", "candidates")
DESCRIPTION = """\
Finds thresholds for early exit whose risk is at most epsilon, with confidence
1 - delta, and writes them into dynexec_config.json, from where
`early_exit="calibrated"` takes them. For classifiers, --budget-flops finds those
for a mean amount of arithmetic instead.

The risk of a decoder is the mean over texts of the share of tokens at which
leaving early would go wrong, each given the full model's own answer before it; of
a classifier, the share of its inputs. What counts is the number of texts:
with nothing ever wrong, it takes 59 to show a risk of 0.05 with confidence 0.95.
The texts must be drawn as those that the model will see, and must not be those
that the heads were trained on.

Calibrate again when the model is quantized or exported anew, or its heads
change. Until then, thresholds that were made for another model are refused."""


def criterion_name(name: str) -> str:
    """
    Checks the name of a criterion. The registry is asked when an option names one, as it loads numpy.

    Raises:
        `ArgumentTypeError`: if there is none of this name, or it judges embeddings, which are not calibrated.
    """
    if name != "max_prob":
        from ..early_exit.criteria import CRITERIA

        names = [known for known, kind in CRITERIA.items() if not kind.for_embeddings]
        if name not in names:
            raise ArgumentTypeError(f"{name!r} is no criterion: use one of {', '.join(names)}")
    return name


class CalibrateCommand(BaseOptimumCLICommand):
    @staticmethod
    def parse_args(parser: ArgumentParser):
        status = STATUS.replace(
            "  130", f"  {NO_THRESHOLD}    no threshold holds the guarantee with this much data\n  130"
        )
        describe(parser, DESCRIPTION, status)
        parser.add_argument("model", metavar="MODEL_DIR", help="Directory of an export that has exit heads.")
        parser.add_argument(
            "--data",
            action="append",
            required=True,
            metavar="FILE[:COLUMN]",
            help="Of a decoder, prompts: a .jsonl, .csv or .txt file, or the id of a data set on the Hub. Of a"
            " classifier, FILE without a column: also a directory with a folder of images for each label, or an .npz"
            " file. Repeatable.",
        )
        group = parser.add_argument_group("Guarantee")
        group.add_argument(
            "--risk",
            default=None,
            help="token_disagreement, or disagreement of classifiers: the exit says something else than the full"
            " model. accuracy: the full model is right and the exit is not; about the text's next token (texts are"
            " then taken as they stand), or the label. package.module:function: your own. Default: disagreement.",
        )
        group.add_argument("--epsilon", type=float, default=0.05, help="The risk allowed. Default: %(default)s.")
        group.add_argument(
            "--delta", type=float, default=0.05, help="The probability that it is more. Default: %(default)s."
        )
        group.add_argument(
            "--criterion",
            type=criterion_name,
            default="max_prob",
            help="What is compared with the threshold: max_prob, entropy, patience or another one; an unknown name"
            " lists all. Default: %(default)s.",
        )
        group.add_argument(
            "--method",
            choices=METHODS,
            default="hoeffding_bentkus",
            help="hoeffding_bentkus, wsr (often stronger) and binomial (one token a text): Learn then Test with this"
            " p-value. conformal: a bound on the expected risk, without delta. Default: %(default)s.",
        )
        group.add_argument(
            "--thresholds",
            dest="candidates",
            choices=CANDIDATES,
            default="shared",
            help="shared: the same at all exits. per_exit: one for each, for which 3 in 10 texts are not tested on."
            " Default: %(default)s.",
        )
        group.add_argument(
            "--budget-flops",
            type=float,
            default=None,
            metavar="SHARE",
            help="Of classifiers: instead of a risk, the mean share of the full model's arithmetic.",
        )
        group = parser.add_argument_group("Data")
        add_column_arguments(group)
        group.add_argument(
            "--continuations",
            choices=("own", "text"),
            default=None,
            help="own: ask about the model's own answers. text: about the texts as they stand. Default: own, or text"
            " for the risk accuracy.",
        )
        group.add_argument(
            "--max-samples",
            type=int,
            default=None,
            help="Texts to use at most, drawn from all. Default: 500 of decoders, all of others.",
        )
        group.add_argument(
            "--max-new-tokens", type=int, default=128, help="Length of an answer at most. Default: %(default)s."
        )
        group.add_argument("--seed", type=int, default=0, help="Of what is drawn. Default: %(default)s.")
        group.add_argument(
            "--precision",
            choices=("fast", "exact"),
            default="fast",
            help="The one that the model will be used with. Default: %(default)s.",
        )
        group.add_argument("--device", default="CPU", help="OpenVINO device. Default: %(default)s.")
        group.add_argument(
            "--cache-dir", default=None, help="Where to keep answers and records for the next call; else nowhere."
        )
        add_common_arguments(parser)

    def run(self):
        run_command("calibrate", self.args, self._calibrate, {"NoThresholdError": NO_THRESHOLD})

    def _calibrate(self) -> Outcome:
        from ..directory.config import DECODER_TASK, ENCODER_TASKS, DynExecConfig
        from ..utils.intervals import interval_text

        calibrators = {
            DECODER_TASK: (_calibrate_decoder, "tokens"),
            **dict.fromkeys(ENCODER_TASKS, (_calibrate_encoder, "samples")),
        }
        calibrator, unit = calibrators[DynExecConfig.from_pretrained(self.args.model).task]
        found = calibrator(self.args)
        lines = [
            f"Guaranteed: {found.guarantee}",
            f"Measured: {found.measured_risk:.4f} ({interval_text(found.risk_interval, '{:.4f}')}) on"
            f" {found.num_samples} {unit} of {found.num_texts} texts",
            f"Layers per {unit[:-1]}: {found.mean_layers:.1f} of {found.num_layers}",
            *([] if found.mean_flops is None else [f"Arithmetic: {found.mean_flops:.1%} of the full model's"]),
            *(_exit_line(found, layer, unit) for layer in found.thresholds),
            f"Written to {self.args.model}/dynexec_config.json",
        ]
        return {**found.to_dict(), "guarantee": found.guarantee}, lines


def _calibrate_decoder(args: Namespace) -> Any:
    from ..calibration import RecordingArguments, calibrate_decoder

    if args.budget_flops is not None:
        raise ValueError("--budget-flops is for classifiers, but this model is a decoder")
    options = read_options(args)
    recording = RecordingArguments(**options.pop("recording"))
    return calibrate_decoder(args.model, recording=recording, **options)


def _calibrate_encoder(args: Namespace) -> Any:
    from ..calibration import EncoderRecordingArguments, calibrate_encoder
    from ..data.samples import Columns

    recording = EncoderRecordingArguments(
        columns=Columns(**read_columns(args)),
        **{name: getattr(args, name) for name in ("max_samples", "max_length", "precision", "device", "seed")},
    )
    options = {name: getattr(args, name) for name in OF_BOTH}
    return calibrate_encoder(
        args.model,
        recording=recording,
        risk=args.risk or "disagreement",
        budget_flops=args.budget_flops,
        **options,
    )


def _exit_line(found: Any, layer: int, unit: str) -> str:
    share, threshold = found.exit_shares[layer], found.thresholds[layer]
    return f"After layer {layer}: {share:.1%} of {unit} leave, threshold of {found.criterion} {threshold:.6g}"


def read_options(arguments: Namespace) -> dict[str, Any]:
    """
    The command line as arguments of [`~calibration.calibrate_decoder`]; `recording` as a dictionary.
    """
    asked = ("continuations", "max_samples", "max_new_tokens", "precision", "device", "seed")
    recording = {name: getattr(arguments, name) for name in asked}
    if recording["continuations"] is None:
        recording["continuations"] = "text" if arguments.risk == "accuracy" else "own"
    if recording["max_samples"] is None:
        recording["max_samples"] = MAX_TEXTS
    return {
        **{name: getattr(arguments, name) for name in (*OF_BOTH, "cache_dir")},
        "risk": arguments.risk or "token_disagreement",
        "recording": recording,
    }
