"""Defines the command line for `optimum-cli dynexec attach-heads`. It is loaded at every call of `optimum-cli`."""

from argparse import ArgumentParser

from optimum.commands.base import BaseOptimumCLICommand

from .head_formats import HEAD_FORMATS
from .running import Outcome, add_common_arguments, describe, run_command


class AttachHeadsCommand(BaseOptimumCLICommand):
    @staticmethod
    def parse_args(parser: ArgumentParser):
        describe(
            parser,
            "Attaches trained heads to an exported model, one small OpenVINO model for each. The\n"
            "model's own files do not change. Heads with the same name are replaced; others\n"
            "stay.",
        )
        parser.add_argument("model", metavar="MODEL_DIR", help="Directory of an exported model.")
        parser.add_argument("heads", metavar="HEADS", help="Safetensors file of a head, or directory of such files.")
        parser.add_argument(
            "--weight-format",
            choices=HEAD_FORMATS,
            default="int8",
            help="Weight format of the attached heads. Default: %(default)s.",
        )
        parser.add_argument(
            "--draft-weight-format",
            choices=HEAD_FORMATS,
            default=None,
            help="Weight format of the draft head. Default: that of all heads.",
        )
        add_common_arguments(parser)

    def run(self):
        run_command("attach-heads", self.args, self._attach)

    def _attach(self) -> Outcome:
        from ..directory.attached_heads import attach_heads

        config = attach_heads(
            self.args.model,
            self.args.heads,
            weight_format=self.args.weight_format,
            draft_weight_format=self.args.draft_weight_format,
        )
        heads = {
            name: {"kind": head.kind, "layer": head.layer, "file": head.file} for name, head in config.heads.items()
        }
        return (
            {"model": self.args.model, "exit_layers": config.exit_layers, "heads": heads},
            [f"{self.args.model} now has {', '.join(sorted(heads))}"],
        )
