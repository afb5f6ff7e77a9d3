"""Defines the command line for `optimum-cli dynexec quantize`. It is loaded at every call of `optimum-cli`."""

from argparse import ArgumentParser, Namespace
from typing import Any

from optimum.commands.base import BaseOptimumCLICommand
from optimum.commands.export.openvino import parse_args_openvino, prepare_q_config, prepare_wc_config

from .columns import add_column_arguments, read_columns
from .head_formats import add_head_formats
from .running import Outcome, add_common_arguments, describe, run_command


# The options of `optimum-cli export openvino` that are about quantization.
OPTIONS = (
    "weight_format",
    "quant_mode",
    "ratio",
    "sym",
    "group_size",
    "group_size_fallback",
    "backup_precision",
    "dataset",
    "all_layers",
    "awq",
    "scale_estimation",
    "gptq",
    "lora_correction",
    "sensitivity_metric",
    "quantization_statistics_path",
    "num_samples",
    "smooth_quant_alpha",
)
FLOATS = ("fp32", "fp16")
# Full quantization with different types of weights and activations.
MIXED = ("cb4_f8e4m3", "int4_f8e4m3", "int4_f8e5m2")
DESCRIPTION = """\
Quantizes an exported model with NNCF, as `optimum-cli export openvino` does, and
writes a complete directory: layer boundaries are marked again, and heads are copied.
--weight-format compresses only the weights and is for decoders. --quant-mode int8
also quantizes activations and needs --data. It is for encoders, vision models and the
denoiser of a diffusion pipeline.

Thresholds of early exit belong to the original model: calibrate again. Heads still
work; heads that are trained on the quantized model (train-heads) are right more often."""


class QuantizeCommand(BaseOptimumCLICommand):
    @staticmethod
    def parse_args(parser: ArgumentParser):
        describe(parser, DESCRIPTION)
        parser.add_argument(
            "model",
            metavar="MODEL_DIR",
            help="Directory of an exported model or diffusion pipeline with weights in fp32 or fp16.",
        )
        parser.add_argument("output", metavar="OUTPUT", help="Directory to write to.")
        group = parser.add_argument_group("Quantization, as in `optimum-cli export openvino`")
        of_optimum = ArgumentParser(add_help=False)
        parse_args_openvino(of_optimum)
        for action in of_optimum._actions:
            if action.dest in OPTIONS:
                group._add_action(action)
        group = parser.add_argument_group("Heads")
        add_head_formats(group)
        group = parser.add_argument_group("Data")
        group.add_argument(
            "--data",
            action="append",
            default=[],
            metavar="FILE[:COLUMN]",
            help="Calibration data, instead of --dataset. For a decoder, texts: a .jsonl, .csv or .txt file,"
            " the id of a data set on the Hub, or `self` for texts that the model writes itself. For a classifier,"
            " FILE"
            " without a column, also a directory with a folder of images for each label, or an .npz file. For a"
            " diffusion pipeline, prompts. Repeatable.",
        )
        group.add_argument(
            "--continuations",
            choices=("own", "text"),
            default="text",
            help="For decoders. text: the texts as they are. own: the texts are prompts, used with the model's own"
            " answers. Default: %(default)s.",
        )
        add_column_arguments(group)
        group.add_argument("--seed", type=int, default=0, help="Random seed. Default: %(default)s.")
        group = parser.add_argument_group("Accuracy")
        group.add_argument(
            "--accuracy-control",
            type=float,
            default=None,
            metavar="MAX_DROP",
            help="For classifiers with --quant-mode int8: restore layers to floating point until the accuracy loss is"
            " at most DROP, for example 0.01. This takes long.",
        )
        group.add_argument(
            "--validation-data",
            action="append",
            default=[],
            metavar="FILE",
            help="Data to measure the accuracy on. Without labels, the full model's answers count as right. Default:"
            " that of --data.",
        )
        add_common_arguments(parser)

    def run(self):
        run_command("quantize", self.args, self._quantize)

    def _quantize(self) -> Outcome:
        config = quantization_options(self.args)
        from ..data.samples import Columns
        from ..quantization import AccuracyControl, CalibrationData, quantize_dynexec
        from ..quantization.models import weight_bytes

        args, columns = self.args, Columns(**read_columns(self.args))
        common = {"columns": columns, "max_length": args.max_length, "seed": args.seed}
        data, control = None, None
        if args.data:
            data = CalibrationData(args.data, continuations=args.continuations, **common)
        if args.accuracy_control is not None:
            control = AccuracyControl(args.accuracy_control, args.validation_data or args.data, **common)
        elif args.validation_data:
            raise ValueError("--validation-data needs --accuracy-control: give it too, or leave --validation-data out")
        made = quantize_dynexec(
            args.model,
            args.output,
            quantization_config=config,
            head_weight_format=args.head_weight_format,
            draft_weight_format=args.draft_weight_format,
            dataset=data,
            accuracy_control=control,
        )
        before, after = weight_bytes(args.model), weight_bytes(args.output)
        stale = made is not None and made.calibration is not None
        values = {
            "model": args.output,
            "weight_bytes": after,
            "weight_bytes_before": before,
            "exit_layers": [] if made is None else made.exit_layers,
            "heads": [] if made is None else sorted(made.heads),
            "calibration_is_stale": stale,
        }
        lines = [
            f"Weights: {after / 1e6:.1f} MB, {before / 1e6:.1f} MB before",
            *([f"Heads: {', '.join(values['heads'])}"] if values["heads"] else []),
            *(
                [
                    "The thresholds belong to the original model: run"
                    f" `optimum-cli dynexec calibrate {args.output} --data ...`"
                ]
                if stale
                else []
            ),
            f"Written to {args.output}",
        ]
        return values, lines


def quantization_options(args: Namespace) -> dict[str, Any]:
    """
    The fields of optimum-intel's quantization configuration, made from the command line by its own functions.

    Raises:
        `ValueError`: if the command line requests no quantization, or two that exclude each other.
    """
    from optimum.intel.openvino.configuration import _DEFAULT_4BIT_WQ_CONFIG

    if (args.weight_format is None) == (args.quant_mode is None):
        raise ValueError("give either --weight-format, for only the weights, or --quant-mode, for activations too")
    if args.weight_format in FLOATS:
        raise ValueError(
            f"--weight-format {args.weight_format} is not a quantization: export the model with this format"
        )
    if args.smooth_quant_alpha is not None and args.quant_mode is None:
        raise ValueError("--smooth-quant-alpha needs --quant-mode: give it too, or leave --smooth-quant-alpha out")
    if args.data:
        args.dataset = None
    if args.quant_mode is None:
        return prepare_wc_config(args, _DEFAULT_4BIT_WQ_CONFIG)
    full = prepare_q_config(args)
    if args.quant_mode not in MIXED:
        return full
    weights, activations = args.quant_mode.split("_")
    return {
        "weight_quantization_config": {**prepare_wc_config(args, _DEFAULT_4BIT_WQ_CONFIG), "dtype": weights},
        "full_quantization_config": {**full, "dtype": activations},
        "num_samples": args.num_samples,
        "dataset": args.dataset,
    }
