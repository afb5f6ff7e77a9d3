import subprocess
import sys

import pytest

import optimum_dynexec


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
