"""Defines the command line for `optimum-cli dynexec report`. It is loaded at every call of `optimum-cli`."""

from argparse import ArgumentParser

from optimum.commands.base import BaseOptimumCLICommand

from .running import Outcome, add_common_arguments, describe, run_command


DESCRIPTION = """\
Makes a page with the results of `optimum-cli dynexec benchmark`. At its top is the
fastest system within the quality limit. The page is written to OUT_DIR/report.html,
which needs no other file, and to OUT_DIR/report.md. The command needs jinja2 and
matplotlib."""


class ReportCommand(BaseOptimumCLICommand):
    @staticmethod
    def parse_args(parser: ArgumentParser):
        describe(parser, DESCRIPTION)
        parser.add_argument(
            "results", nargs="+", metavar="RESULTS", help="JSON files of results. Each becomes a part of the page."
        )
        parser.add_argument(
            "output", metavar="OUT_DIR", help="Directory for the report, created if it does not exist."
        )
        add_common_arguments(parser)

    def run(self):
        run_command("report", self.args, self._report)

    def _report(self) -> Outcome:
        from ..report import write_report
        from ..report.loading import load_results

        results = [load_results(path) for path in self.args.results]
        written = [str(path) for path in write_report(results, self.args.output)]
        answers = {path: result["answer"] for path, result in zip(self.args.results, results, strict=True)}
        lines = [result["answer"]["sentence"] for result in results]
        return {"files": written, "answers": answers}, [*lines, f"Written to {' and '.join(written)}"]
