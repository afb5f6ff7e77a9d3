"""What is the same for the versions of transformers that the package admits, and what is said where it is not."""

import re
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
from transformers import GenerationConfig, GPTNeoXConfig, LlamaConfig, OPTConfig

from optimum_dynexec import export_dynexec
from optimum_dynexec.exporters import ExportError, family_versions
from optimum_dynexec.exporters.family_versions import check_transformers
from optimum_dynexec.speculative.arguments import SpeculationArguments
from optimum_dynexec.utils.versions import TESTED_TRANSFORMERS, given_values, rope_parameters
from tests.tiny_models import TINY_LONGROPE


ROOT = Path(__file__).parents[2]


def test_the_ranges_are_those_that_the_matrix_tests():
    oldest, newest = TESTED_TRANSFORMERS
    major, minor = newest.split(".")[:2]
    assert f'"transformers>={oldest},<{major}.{int(minor) + 1}"' in (ROOT / "pyproject.toml").read_text()
    corners = [path.read_text() for path in sorted((ROOT / "tests/matrix").glob("*.txt"))]
    assert [re.findall("^transformers==(.*)", corner, re.MULTILINE) for corner in corners] == [[oldest], [newest]]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            {"rope_parameters": {"rope_type": "default", "rope_theta": 5.0}},
            {"rope_type": "default", "rope_theta": 5.0},
        ),
        ({"rope_theta": 5.0, "rope_scaling": None}, {"rope_type": "default", "rope_theta": 5.0}),
        (
            {"rope_theta": 5.0, "rope_scaling": {"type": "longrope", "factor": 2.0}},
            {"rope_type": "longrope", "rope_theta": 5.0, "type": "longrope", "factor": 2.0},
        ),
        ({"rotary_emb_base": 5.0}, {"rope_type": "default", "rope_theta": 5.0}),
        ({"rope_parameters": None}, {}),
        ({}, {}),
    ],
    ids=str,
)
def test_rope_parameters(config, expected):
    assert rope_parameters(SimpleNamespace(**config)) == expected


def test_rope_parameters_of_the_installed_transformers():
    assert rope_parameters(LlamaConfig())["rope_theta"] == rope_parameters(GPTNeoXConfig())["rope_theta"] == 10000.0
    assert rope_parameters(OPTConfig()) == {}
    for make in TINY_LONGROPE.values():
        assert rope_parameters(make()[1])["rope_type"] == "longrope"


def test_what_a_generation_configuration_leaves_open_is_not_given():
    assert not {"max_length", "min_length", "num_assistant_tokens"} & set(given_values(GenerationConfig()))
    assert given_values(GenerationConfig(max_length=33))["max_length"] == 33
    assert given_values(None) == {}
    assert not SpeculationArguments.read(None, False, {}, GenerationConfig(), None).asked
    assert SpeculationArguments.read(None, False, {}, GenerationConfig(num_assistant_tokens=7)).asked


def limits(oldest, newest):
    return SimpleNamespace(MIN_TRANSFORMERS_VERSION=oldest, MAX_TRANSFORMERS_VERSION=newest)


@pytest.mark.parametrize(
    ("installed", "oldest", "newest", "message"),
    [
        ("5.5.4", "4.57", None, None),
        ("5.5.4", None, "5.10.99", None),
        ("5.0.0", "4.57", "5.0", None),
        (
            "5.5.4",
            "4.57",
            "5.0",
            "with transformers from 4.57 and up to 5.0, but 5.5.4 is installed. In another environment,"
            ' install this package, run `pip install "transformers==4.57.6"` and export the model there; the exported'
            " directory can be loaded with transformers 5.5.4",
        ),
        ("5.5.4", "5.2.0", "5.2.99", '"transformers>=5.2.0,<=5.2.99"` and export the model there'),
        (
            "4.57.6",
            "5.5.0",
            None,
            "from 5.5.0, but 4.57.6 is installed. In another environment, install this package, run",
        ),
        ("4.57.6", "5.5.0", None, '"transformers==5.5.4"'),
        (
            "4.57.6",
            "4.51.0",
            "4.53.3",
            '"transformers>=4.51.0,<=4.53.3"` and `optimum-cli export openvino`, and pass the exported directory',
        ),
        ("5.5.4", "5.5", "5.0", "No version is both"),
    ],
)
def test_the_versions_that_a_family_can_be_exported_with(installed, oldest, newest, message, monkeypatch):
    monkeypatch.setattr(
        family_versions, "version", lambda name: installed if name == "transformers" else version(name)
    )
    if message is None:
        check_transformers("gemma3_text", limits(oldest, newest))
        return
    with pytest.raises(ExportError, match="models of the type 'gemma3_text' with") as caught:
        check_transformers("gemma3_text", limits(oldest, newest))
    assert message in str(caught.value)


@pytest.mark.skipif(version("transformers").startswith("4."), reason="transformers 4 can export Gemma 3")
@pytest.mark.parametrize("name", ["gemma2", "gemma3_text"])
def test_a_family_that_the_installed_versions_cannot_export(name, tiny_hf, tmp_path):
    """Before its weights are loaded: there are none here."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text((tiny_hf(name) / "config.json").read_text())
    with pytest.raises(ExportError, match=rf"'{name}' .* up to 5\.0, but .* \"transformers==4\.57\.6\""):
        export_dynexec(tmp_path / "model", tmp_path / "output")
    assert not (tmp_path / "output").exists()
