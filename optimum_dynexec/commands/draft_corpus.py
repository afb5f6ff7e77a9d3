"""Defines the command line for `optimum-cli dynexec draft-corpus`. It is loaded at every call of `optimum-cli`."""

from argparse import ArgumentParser

from optimum.commands.base import BaseOptimumCLICommand

from .running import Outcome, add_common_arguments, describe, run_command


MAX_TOKENS = 1 << 20


class DraftCorpusCommand(BaseOptimumCLICommand):
    @staticmethod
    def parse_args(parser: ArgumentParser):
        describe(
            parser,
            "Tokenizes your own texts into a draft corpus: a file from which suffix drafts come,\n"
            "for models with the same tokenizer. It helps where answers repeat these texts, such\n"
            "as code of the same repository, or earlier answers to similar questions. It does not\n"
            "change any answer.\n\n"
            'Load it with DynExecModelForCausalLM.from_pretrained(..., draft_corpus="OUTPUT").',
        )
        parser.add_argument("model", metavar="MODEL_DIR", help="Directory of an exported model, with its tokenizer.")
        parser.add_argument("output", metavar="OUTPUT", help="File to write, ending in .safetensors.")
        parser.add_argument(
            "--texts",
            action="append",
            required=True,
            metavar="SOURCE",
            help="A .jsonl or .csv file (a text in each row; FILE:COLUMN names the column), any other file (one"
            " text), or a folder of files. Repeatable.",
        )
        parser.add_argument(
            "--max-tokens",
            type=int,
            default=MAX_TOKENS,
            metavar="N",
            help="Maximum number of tokens; what comes after them is left out. A loaded corpus takes about 250"
            " bytes of memory for each token. Default: %(default)s.",
        )
        add_common_arguments(parser)

    def run(self):
        run_command("draft-corpus", self.args, self._make)

    def _make(self) -> Outcome:
        from ..modeling.draft_corpus import make_draft_corpus

        corpus, left_out = make_draft_corpus(self.args.model, self.args.texts, self.args.max_tokens)
        corpus.save(self.args.output)
        texts, tokens = len(corpus.lengths), len(corpus.tokens)
        lines = [f"{self.args.output} has {texts} texts with {tokens} tokens"]
        if left_out:
            lines.append(
                f"{left_out} texts were left out, in whole or in part: --max-tokens is {self.args.max_tokens}"
            )
        values = {"corpus": self.args.output, "texts": texts, "tokens": tokens, "texts_left_out": left_out}
        return values, lines
