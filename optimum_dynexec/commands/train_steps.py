"""Defines the command line for `optimum-cli dynexec train-steps`. It is loaded at every call of `optimum-cli`."""

from argparse import ArgumentParser

from optimum.commands.base import BaseOptimumCLICommand

from .numbers import parse_steps
from .running import Outcome, add_common_arguments, describe, run_command


RULES = ("similarity", "first_drop")
DESCRIPTION = """\
Trains a predictor of the number of denoising steps that a prompt needs, and stores it in
the directory of an exported diffusion pipeline, whose own files do not change. Then call
the pipeline with num_inference_steps="auto".

First, images of all prompts are generated with all step counts, which takes long. If the
command is interrupted, it resumes where it stopped."""


class TrainStepsCommand(BaseOptimumCLICommand):
    @staticmethod
    def parse_args(parser: ArgumentParser):
        describe(parser, DESCRIPTION)
        parser.add_argument("pipeline", metavar="PIPELINE_DIR", help="Directory of an exported diffusion pipeline.")
        parser.add_argument(
            "--prompts",
            action="append",
            required=True,
            metavar="FILE[:COLUMN]",
            help="Prompts: a .jsonl, .csv or .txt file, or the id of a data set on the Hub. Repeatable.",
        )
        group = parser.add_argument_group("Sweep")
        group.add_argument(
            "--steps",
            type=parse_steps,
            default=None,
            metavar="COUNTS",
            help="Step counts, ascending, separated by commas. The last is the reference. Default: 5 to 100.",
        )
        group.add_argument(
            "--max-prompts", type=int, default=500, help="Maximum number of prompts. Default: %(default)s."
        )
        group.add_argument(
            "--batch-size", type=int, default=8, help="Number of prompts at once. Default: %(default)s."
        )
        group.add_argument(
            "--guidance-scale", type=float, default=None, help="Guidance scale. Default: the pipeline's."
        )
        group.add_argument(
            "--cache-dir", default=None, help="Directory for the images. Default: step_saver_sweep in PIPELINE_DIR."
        )
        group.add_argument("--seed", type=int, default=0, help="Random seed. Default: %(default)s.")
        group.add_argument("--device", default="CPU", help="OpenVINO device. Default: %(default)s.")
        group = parser.add_argument_group("Labels")
        group.add_argument(
            "--rule",
            choices=RULES,
            default="similarity",
            help="similarity: the smallest count from which images have a similarity (SSIM) of at least TAU to the"
            " reference. first_drop: the count before the similarity of successive counts first drops. Default:"
            " %(default)s.",
        )
        group.add_argument("--tau", type=float, default=0.95, help="Threshold of the rule. Default: %(default)s.")
        group = parser.add_argument_group("Predictor")
        group.add_argument(
            "--delta",
            type=float,
            default=0.1,
            help="Largest probability that a prompt needs more steps than predicted. Default: %(default)s.",
        )
        group.add_argument(
            "--text-encoder",
            default=None,
            metavar="DIR_OR_ID",
            help="Transformers encoder to fine-tune. Default: a small encoder, trained from initial weights.",
        )
        group.add_argument(
            "--epochs", type=int, default=60, help="Number of passes over the prompts. Default: %(default)s."
        )
        add_common_arguments(parser)

    def run(self):
        run_command("train-steps", self.args, self._train)

    def _train(self) -> Outcome:
        from dataclasses import asdict

        from ..data.texts import read_texts
        from ..diffusion.step_saver import train_steps

        prompts = [text for source in self.args.prompts for text in read_texts(source)]
        names = (
            "steps",
            "batch_size",
            "cache_dir",
            "seed",
            "device",
            "rule",
            "tau",
            "delta",
            "text_encoder",
            "epochs",
        )
        options = {name: getattr(self.args, name) for name in names}
        if self.args.guidance_scale is not None:
            options["guidance_scale"] = self.args.guidance_scale
        config = train_steps(self.args.pipeline, list(dict.fromkeys(prompts))[: self.args.max_prompts], **options)
        metrics = config.metrics
        lines = [
            f"Needed: {metrics['mean_needed']:.1f} steps on average, of {config.steps[-1]}",
            f"Predicted: {metrics['mean_predicted']:.1f}, sufficient for {metrics['calibration_coverage']:.1%} of"
            f" {metrics['calibration_prompts']} calibration prompts",
            f"Written to {self.args.pipeline}/step_saver",
        ]
        return asdict(config), lines
