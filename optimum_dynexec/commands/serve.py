"""Defines the command line for `optimum-cli dynexec serve`. It is loaded at every call of `optimum-cli`."""

from argparse import ArgumentParser

from optimum.commands.base import BaseOptimumCLICommand

from ..precision import PRECISIONS
from .running import Outcome, add_common_arguments, describe, run_command


LOG_LEVELS = ("debug", "info", "warning", "error")
DESCRIPTION = """\
Serves an exported decoder or encoder over HTTP with OpenAI's API. Requests share the
forward passes of the model, and speculation does not change their answers. Encoders give
embeddings, or classify texts.

  optimum-cli dynexec serve smollm2-int8 --port 8000

It listens on this machine only, unless --host says otherwise. On SIGTERM or Ctrl-C, it
refuses new requests, finishes those that run, and ends; a second signal ends it at once.
It needs the packages of the extra [serve]."""


class ServeCommand(BaseOptimumCLICommand):
    @staticmethod
    def parse_args(parser: ArgumentParser):
        describe(parser, DESCRIPTION)
        parser.add_argument("model", metavar="DIRECTORY", help="Directory of an exported model.")
        group = parser.add_argument_group("Server")
        group.add_argument("--host", default="127.0.0.1", help="Address to listen on. Default: %(default)s.")
        group.add_argument(
            "--port", type=int, default=8000, help="Port to listen on; 0: any free port. Default: %(default)s."
        )
        group.add_argument(
            "--api-key-file",
            default=None,
            metavar="FILE",
            help="File with an API key in each line. Requests then need one of them. Texts of one key are neither"
            " drafts nor cached prefixes for another.",
        )
        group.add_argument(
            "--served-model-name",
            default=None,
            metavar="NAME",
            help="Name of the model in the API. Default: the name of the directory.",
        )
        group.add_argument(
            "--request-timeout",
            type=float,
            default=600.0,
            metavar="SECONDS",
            help="Maximum time of a request, with the time that it waits. Default: %(default)s.",
        )
        group.add_argument(
            "--log-level",
            choices=LOG_LEVELS,
            default="info",
            help="info: a line for each request, without its text. Default: %(default)s.",
        )
        group = parser.add_argument_group("Sizes")
        group.add_argument(
            "--max-model-len",
            type=int,
            default=None,
            metavar="N",
            help="Maximum number of tokens of a prompt and its answer. Default: the context of the model, or what the"
            " KV cache can hold.",
        )
        group.add_argument(
            "--max-running",
            type=int,
            default=32,
            metavar="N",
            help="Maximum number of sequences that are generated together. Default: %(default)s.",
        )
        group.add_argument(
            "--max-waiting",
            type=int,
            default=128,
            metavar="N",
            help="Maximum number of requests that wait for their turn. Others are refused with status 429. Default:"
            " %(default)s.",
        )
        group.add_argument(
            "--kv-cache-gb",
            type=float,
            default=None,
            metavar="GB",
            help="Maximum size of the KV cache. The model is loaded twice to find the size of a token. Default: as"
            " much as is needed.",
        )
        group.add_argument(
            "--no-prefix-cache",
            action="store_true",
            help="Compute every prompt as a whole, even if an earlier one began with the same tokens.",
        )
        group = parser.add_argument_group("Generation")
        group.add_argument(
            "--draft", default=None, metavar="DIRECTORY", help="Directory of an assistant model that drafts."
        )
        group.add_argument(
            "--speculation",
            default=None,
            metavar="MODE",
            help="Mode of requests that do not set one, such as auto or off. Default: as tuned, or auto.",
        )
        group.add_argument(
            "--precision",
            choices=PRECISIONS,
            default=None,
            help="Precision of the model. Default: as tuned, or auto.",
        )
        group.add_argument("--device", default="CPU", help="OpenVINO device. Default: %(default)s.")
        add_common_arguments(parser)

    def run(self):
        run_command("serve", self.args, self._serve)

    def _serve(self) -> Outcome:
        from ..serving import ServeArguments, serve

        names = ["host", "port", "api_key_file", "served_model_name", "request_timeout", "log_level", "max_model_len"]
        names += ["max_running", "max_waiting", "kv_cache_gb", "draft", "speculation", "precision", "device"]
        values = {name: getattr(self.args, name) for name in names}
        arguments = ServeArguments(**values, prefix_cache=not self.args.no_prefix_cache)
        requests = serve(self.args.model, arguments)
        return {"requests": requests}, [f"Answered {requests} requests"]
