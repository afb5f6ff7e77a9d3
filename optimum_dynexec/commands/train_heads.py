"""Defines the command line for `optimum-cli dynexec train-heads`. It is loaded at every call of `optimum-cli`."""

import os
import tempfile
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path

from optimum.commands.base import BaseOptimumCLICommand

from .running import Outcome, add_common_arguments, describe, run_command
from .train_heads_arguments import BACKBONE_RECIPES, add_training_arguments
from .train_heads_tasks import prepare_decoder, prepare_encoder, train_encoder_with_heads


CONFIG_NAME = "dynexec_config.json"
DESCRIPTION = """\
Trains heads for a model. The task of the model decides which.

For a decoder, whose own weights do not change: a draft head, which proposes
several tokens ahead, and exit heads, which predict tokens from the hidden states
after inner layers. They learn from the model's own answers to prompts, so
use prompts like those that the model will see.

For an encoder, vision or audio model: exit heads, which answer after inner layers. With
the recipe `frozen`, the model does not change. The recipes `joint` and `alternating`
start from a transformers model, possibly without a head, and train it too.

If the command is interrupted, it resumes where it stopped. Each head is a safetensors
file with a training card in its metadata."""


class TrainHeadsCommand(BaseOptimumCLICommand):
    @staticmethod
    def parse_args(parser: ArgumentParser):
        describe(parser, DESCRIPTION)
        add_training_arguments(parser)
        add_common_arguments(parser)

    def run(self):
        run_command("train-heads", self.args, self._train)

    def _train(self) -> Outcome:
        if self.args.recipe in BACKBONE_RECIPES:
            return train_encoder_with_heads(self.args)
        # Loads torch, transformers and openvino, for which other commands must not wait.
        from ..directory.config import DECODER_TASK, ENCODER_TASKS, DynExecConfig

        prepared = {DECODER_TASK: prepare_decoder, **dict.fromkeys(ENCODER_TASKS, prepare_encoder)}
        model = Path(self.args.model)
        exported = (model / CONFIG_NAME).is_file()
        task = DynExecConfig.from_pretrained(model).task if exported else self._task_of_checkpoint()
        # Errors in the arguments are found before an export, which takes minutes.
        train = prepared[task](self.args, task, exported)
        directory, heads, attach = self._places(exported)
        with ExitStack() as stack:
            if not self.args.resume:
                heads.mkdir(parents=True, exist_ok=True)
                self.args.cache_dir = stack.enter_context(tempfile.TemporaryDirectory(dir=heads, prefix=".cache-"))
            values, lines = train(directory, heads, self.args.cache_dir)
        if attach:
            from ..directory.attached_heads import attach_heads

            attach_heads(directory, heads)
        lines.append(
            f"Attached to {directory}"
            if attach
            else f"To use them, run `optimum-cli dynexec attach-heads {directory} {heads}`"
        )
        return {"model": str(directory), "attached": attach, **values}, lines

    def _task_of_checkpoint(self) -> str:
        """The task of a model that is not exported yet."""
        from ..directory.config import what_it_is_instead
        from ..exporters.tasks import resolve_task

        model = self.args.model
        is_checkpoint = not os.path.isdir(model) or os.path.isfile(os.path.join(model, "config.json"))
        if not is_checkpoint:
            raise ValueError(f"{model} cannot be trained for: {what_it_is_instead(model)}")
        if not os.path.isdir(model) and (os.path.isabs(model) or model.startswith(".") or model.count("/") > 1):
            raise ValueError(f"there is no directory {model}")
        if self.args.output is None:
            raise ValueError(
                f"{model} is not exported yet: give a directory for the export with --output, or export it first with"
                " `optimum-cli export dynexec`"
            )
        return resolve_task(model, self.args.task)

    def _places(self, exported: bool) -> tuple[Path, Path, bool]:
        """The exported model, the directory for its heads, and whether to attach them."""
        model, output = Path(self.args.model), self.args.output
        if exported:
            return model, (model / "heads" if output is None else Path(output)), output is None
        directory = Path(output)
        if not (self.args.resume and (directory / CONFIG_NAME).is_file()):
            from ..exporters import export_dynexec

            options = {} if self.args.task == "auto" else {"task": self.args.task}
            export_dynexec(self.args.model, directory, **options)
        return directory, directory / "heads", True
