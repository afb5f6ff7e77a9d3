"""`optimum-cli dynexec serve`: its options are those of the library, and what cannot be served is said at once."""

import contextlib
import socket
from dataclasses import fields

import pytest

from docs.hooks.parsers import command_parsers
from optimum_dynexec.commands import serve as command
from optimum_dynexec.serving import ServeArguments, ServeError
from optimum_dynexec.serving.arguments import LOG_LEVELS
from tests.serving.conftest import running


def parse(*arguments):
    return command_parsers()["optimum-cli dynexec serve"].parse_args([*map(str, arguments)])


def run(*arguments):
    parsed = parse(*arguments)
    parsed.func(parsed).run()


def test_options_and_defaults_are_those_of_the_library():
    parsed, defaults = vars(parse("model")), ServeArguments()
    names = {field.name for field in fields(ServeArguments)} - {"prefix_cache", "max_body_bytes"}
    assert {name: parsed[name] for name in names} == {name: getattr(defaults, name) for name in names}
    assert parsed["no_prefix_cache"] is not defaults.prefix_cache
    assert command.LOG_LEVELS == LOG_LEVELS


@pytest.mark.parametrize("arguments", [[], ["m", "--port", "x"], ["m", "--log-level", "loud"], ["m", "--nothing"]])
def test_usage_errors(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(*arguments)
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", 70000], "`port` must be a whole number from 0 to 65535, got 70000"),
        (["--max-running", 0], "`max_running` must be a whole number from 1 to 256, got 0"),
        (["--max-waiting", -1], "`max_waiting` must be a whole number from 0, got -1"),
        (["--kv-cache-gb", 0], "`kv_cache_gb` must be a finite number of at least"),
        (["--speculation", "wild"], "`speculation` must be one of"),
        (["--draft", "/nowhere"], "there is no /nowhere"),
        (["--served-model-name", " "], "`served_model_name` must not be empty"),
        (["--api-key-file", "/nowhere"], "`api_key_file` '/nowhere' cannot be read: FileNotFoundError"),
        ([], "is not an exported model: it has no openvino_model.xml"),
    ],
)
def test_what_cannot_be_served_is_said_at_once(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as ended:
        run(tmp_path, *arguments)
    assert ended.value.code == 1
    assert message in capsys.readouterr().err


def test_a_file_without_keys_is_no_open_door(tmp_path):
    from optimum_dynexec.serving.keys import ApiKeys

    (tmp_path / "keys").write_text("\n  \n")
    with pytest.raises(ServeError, match="has no key"):
        ApiKeys(tmp_path / "keys")


def test_a_model_of_the_wrong_length_or_a_taken_port(chat_export, capsys):
    with pytest.raises(SystemExit):
        run(chat_export, "--max-model-len", 10**6)
    assert "the model has positions for 8192 tokens" in capsys.readouterr().err
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as ended:
            run(chat_export, "--port", port)
    assert ended.value.code == 1
    assert f"cannot listen on 127.0.0.1:{port}: take another --port" in capsys.readouterr().err


@pytest.mark.slow
def test_an_assistant_drafts(chat_export, tiny_export, tmp_path):
    draft = tiny_export("llama", max_position_embeddings=8192)
    with running(chat_export, tmp_path / "log", "--draft", draft, "--speculation", "draft_model") as server:
        answer = server.client().completions.create(model="tiny", prompt="fox", max_tokens=40, temperature=0)
        assert answer.usage.completion_tokens_details.accepted_prediction_tokens > 10
        metrics = server.metrics()
    assert metrics["vllm:spec_decode_num_accepted_tokens_total"] > 10
