import logging
import subprocess
import sys
import warnings
from argparse import Namespace

import pytest

import optimum_dynexec
from optimum_dynexec.commands.running import run_command
from optimum_dynexec.utils import quiet


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'optimum_dynexec' has no attribute 'nothing'"):
        _ = optimum_dynexec.nothing


def test_names_are_listed():
    assert {"DynExecConfig", "DynExecModelForCausalLM", "export_dynexec", "__version__"} <= set(dir(optimum_dynexec))
    assert set(optimum_dynexec.__all__) <= set(dir(optimum_dynexec))


@pytest.mark.parametrize("name", sorted(optimum_dynexec.__all__))
def test_every_public_name_is_there(name):
    assert getattr(optimum_dynexec, name) is not None


def test_import_loads_nothing_heavy():
    """Configuration and the command line load at once; the frameworks with the first thing that needs them."""
    program = (
        "import sys; from optimum_dynexec import DynExecConfig; import optimum_dynexec.commands.export;"
        "print([m for m in ('torch', 'transformers', 'openvino', 'nncf', 'numpy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


COMMAND_LINE = """
import io, sys
from contextlib import redirect_stderr, redirect_stdout
from optimum.commands import optimum_cli
from optimum_dynexec.commands.dynexec import DynExecCommand
commands = [["export", "dynexec"], *(["dynexec", info.name] for info in DynExecCommand.SUBCOMMANDS)]
calls = [["dynexec", "--help"], ["dynexec", "nothing"]]
calls += [[*words, last] for words in commands for last in ("--help", "--no-such-option")]
ends = []
for call in calls:
    sys.argv[1:] = call
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            optimum_cli.main()
    except SystemExit as ended:
        ends.append(ended.code or 0)
assert ends == [0, 2] * (1 + len(commands)), ends
heavy = ("torch", "transformers", "openvino", "optimum.intel", "nncf", "scipy", "numpy")
print([name for name in heavy if name in sys.modules])
"""


def test_help_and_wrong_arguments_load_nothing_heavy():
    """Of all subcommands: what answers within a second does so because nothing of that is imported."""
    found = subprocess.run([sys.executable, "-c", COMMAND_LINE], capture_output=True, text=True)
    assert (found.stdout, found.returncode) == ("[]\n", 0), found.stderr


def test_of_diffusers_messages_only_the_one_on_the_shared_namespace_is_left_out(caplog, monkeypatch):
    logger = logging.getLogger(quiet.LOGGER)
    shared = "Multiple distributions found for package optimum. Picked distribution: optimum-dynexec"
    with caplog.at_level(logging.WARNING, logger.name):
        logger.warning(shared)
        logger.warning("Multiple distributions found for package aiter. Picked distribution: aiter")
        assert [record.args or record.msg for record in caplog.records] == [
            "Multiple distributions found for package aiter. Picked distribution: aiter"
        ]
        monkeypatch.setattr(quiet, "_has_quanto", lambda: True)
        logger.warning(shared)
    assert caplog.messages[-1] == shared


IMPORTS_SAY = """
import optimum_dynexec, logging
from optimum_dynexec import DynExecModelForCausalLM
logging.getLogger("transformers.utils.import_utils").warning("`ViTImageProcessor` requires torchvision")
"""


def test_imports_say_nothing():
    """Of what is not there for other models; what is said about others is shown."""
    found = subprocess.run([sys.executable, "-c", IMPORTS_SAY], capture_output=True, text=True, check=True)
    assert found.stderr.splitlines() == ["`ViTImageProcessor` requires torchvision"]


@pytest.mark.parametrize("verbose", [False, True])
def test_commands_leave_out_known_messages_only(caplog, capsys, verbose):
    said = {
        "transformers.configuration_utils": "`torch_dtype` is deprecated! Use `dtype` instead!",
        "transformers.modeling_utils": "`loss_type=None` was set in the config but it is unrecognized.",
        "transformers.masking_utils": "`cache_position` is deprecated as an arg, and will be removed",
    }
    trace = [
        "Iterating over a tensor might cause the trace to be incorrect.",
        "torch.from_numpy results are registered as constants in the trace.\nYou can safely ignore this warning",
    ]
    news = ["`loss_type=nonsense` was set in the config but it is unrecognized."]

    def work():
        for name, message in said.items():
            for text in (message, *news):
                logging.getLogger(name).warning(text)
        with warnings.catch_warnings(record=True) as caught:
            for text in (*trace, *news):
                warnings.warn(text, stacklevel=1)
        return {}, [str(warning.message) for warning in caught]

    loggers = [logging.getLogger(name) for name in said]
    before = [list(logger.filters) for logger in loggers]
    # The root logger of transformers passes nothing on.
    for logger in loggers:
        logger.addHandler(caplog.handler)
    try:
        run_command("tune", Namespace(verbose=verbose, json=False), work)
    finally:
        for logger in loggers:
            logger.removeHandler(caplog.handler)
    shown = list(said.values()) if verbose else []
    assert set(caplog.messages) == {*shown, *news}
    assert capsys.readouterr().out == "\n".join([*(trace if verbose else []), *news]) + "\n"
    assert [logger.filters for logger in loggers] == before
