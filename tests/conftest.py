"""Fixtures that every test may use: tiny models on disk, each made once per session."""

import os


# Nothing is to be fetched. HF_HUB_OFFLINE would say so, but it also turns off the detection of local directories that
# are not exported yet; an address that refuses at once does not. Both are read when the libraries are imported.
os.environ.pop("HF_HUB_OFFLINE", None)
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
if "PYTEST_XDIST_WORKER" in os.environ:
    # Each process has a core; OpenMP's threads of several would wait for each other by spinning.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session", autouse=True)
def _remembered_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Remembered measurements neither come from the machine nor stay on it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DYNEXEC_CACHE", str(tmp_path_factory.mktemp("remembered")))
        yield


@pytest.fixture(scope="session")
def exact_ov_config() -> dict[str, str]:
    """Compilation properties with which logits depend on the tokens alone."""
    from optimum_dynexec.precision import FLOAT32_OV_CONFIG

    return dict(FLOAT32_OV_CONFIG)


@pytest.fixture(scope="session")
def tiny_tokenizer():
    """The tokenizer of every tiny model."""
    from tests.tiny_models import build_tokenizer

    return build_tokenizer()


@pytest.fixture(scope="session")
def tiny_hf(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """
    `tiny_hf(name, **options)`: a Hugging Face directory of a tiny model, with its tokenizer. `options` are those of
    `save_tiny_decoder`, for instance `seed=1` for other weights. Not to be changed by a test.
    """
    from tests.tiny_models import save_tiny_decoder

    base, made = tmp_path_factory.mktemp("tiny-hf"), {}

    def get(name: str, **options) -> Path:
        key = "-".join([name, *(f"{key}={value}" for key, value in sorted(options.items()))])
        if key not in made:
            made[key] = base / key
            save_tiny_decoder(name, made[key], **options)
        return made[key]

    return get


@pytest.fixture(scope="session")
def tiny_export(tiny_hf: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """
    `tiny_export(name, weight_format="fp32", **options)`: the export of `tiny_hf(name, **options)` by `export_dynexec`.
    Not to be changed by a test.
    """
    from optimum_dynexec import export_dynexec

    base, made = tmp_path_factory.mktemp("tiny-export"), {}

    def get(name: str, weight_format: str = "fp32", **options) -> Path:
        source = tiny_hf(name, **options)
        key = f"{source.name}-{weight_format}"
        if key not in made:
            compression = {"group_size": 16} if weight_format == "int4" else {}
            export_dynexec(source, base / key, weight_format=weight_format, **compression)
            made[key] = base / key
        return made[key]

    return get


@pytest.fixture(scope="session")
def tiny_model(tiny_export: Callable[..., Path]) -> Callable[..., Any]:
    """
    `tiny_model(name, weight_format="fp32", **options)`: the export of that name, loaded as `DynExecModelForCausalLM`
    with `precision="exact"`. Not to be changed by a test.
    """
    from optimum_dynexec import DynExecModelForCausalLM

    loaded = {}

    def get(name: str, weight_format: str = "fp32", **options):
        directory = tiny_export(name, weight_format, **options)
        if directory not in loaded:
            loaded[directory] = DynExecModelForCausalLM.from_pretrained(directory, precision="exact")
        return loaded[directory]

    return get


@pytest.fixture(scope="session")
def tiny_encoder_hf(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`tiny_encoder_hf(name, task=None)`: a Hugging Face directory of a model of `tests.tiny_encoders`."""
    from tests.tiny_encoders import save_tiny_encoder

    base, made = tmp_path_factory.mktemp("tiny-encoder-hf"), {}

    def get(name: str, task: str | None = None) -> Path:
        key = f"{name}-{task}"
        if key not in made:
            made[key] = base / key
            save_tiny_encoder(name, made[key], task)
        return made[key]

    return get


@pytest.fixture(scope="session")
def tiny_encoder(
    tiny_encoder_hf: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """
    `tiny_encoder(name, task=None)`: its export by `export_dynexec`, with random exit heads after all layers but the
    last attached; without heads for feature extraction. Not to be changed by a test.
    """
    from optimum_dynexec import export_dynexec
    from optimum_dynexec.directory import attach_heads
    from tests.encoder_heads import random_encoder_heads
    from tests.tiny_encoders import DEFAULT_TASKS, IMAGE_MODELS

    base, made = tmp_path_factory.mktemp("tiny-encoder"), {}

    def get(name: str, task: str | None = None) -> Path:
        key = f"{name}-{task}"
        if key not in made:
            directory = base / key
            config = export_dynexec(
                tiny_encoder_hf(name, task), directory, task=task or DEFAULT_TASKS[name], weight_format="fp32"
            )
            layers = list(range(len(config.hidden_state_names) - 1))
            if task == "feature-extraction":
                config.exit_layers = layers
                config.save_pretrained(directory)
            else:
                # The hidden states of image models are large: probabilities of 1 would be decided by the last bit.
                scale = 0.1 if name in IMAGE_MODELS else 0.5
                attach_heads(directory, random_encoder_heads(directory, layers, base / f"{key}-heads", scale=scale))
            made[key] = directory
        return made[key]

    return get


@pytest.fixture(scope="session")
def headed_decoders(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """
    A tiny decoder with two exit heads and a draft head: `torch` on the torch backend, `engine` on OpenVINO, and `hf`
    as it is; `assistants`, for each of the two; `draft`, configuration and tensors of the draft head; `base`, where
    the directories `hf`, `ov`, `heads`, `draft` and `draft-ov` are. Not to be changed by a test.
    """
    from types import SimpleNamespace

    from optimum_dynexec import DynExecModelForCausalLM, export_dynexec
    from optimum_dynexec.heads.storage import save_head
    from optimum_dynexec.torch_backend import TorchDynExecModelForCausalLM
    from tests.heads.reference import random_head
    from tests.speculative.tiny_exits import HIDDEN, VOCABULARY, load_with_heads, save_exit_head, save_model
    from tests.tiny_models import build_tokenizer

    base = tmp_path_factory.mktemp("headed-decoders")
    model = save_model(base / "hf", late=0.3)
    # Mostly of the same opinion.
    assistant = save_model(base / "draft", late=0.2)
    for layer, words in ((0, range(VOCABULARY - 1, 100, -1)), (2, None)):
        save_exit_head(base / "heads", model, "block", layer, words, noise=0.3)
    config, tensors, _ = random_head("draft+layers", words=200, hidden_size=HIDDEN, vocab_size=VOCABULARY)
    save_head(config, tensors, base / "heads" / f"{config.name}.safetensors")
    for name, export in (("hf", "ov"), ("draft", "draft-ov")):
        build_tokenizer().save_pretrained(base / name)
        export_dynexec(base / name, base / export, weight_format="fp32")
    return SimpleNamespace(
        base=base,
        hf=model,
        torch=TorchDynExecModelForCausalLM.from_pretrained(base / "hf", heads=base / "heads"),
        engine=load_with_heads(base / "ov", base / "heads", exit_layers=[0, 2]),
        assistants={
            "torch": assistant,
            "engine": DynExecModelForCausalLM.from_pretrained(base / "draft-ov", precision="exact"),
        },
        draft=(config, tensors),
    )
