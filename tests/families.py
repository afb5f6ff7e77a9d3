"""
What each family of decoders can do with the installed versions: the table in docs/families.md.

    python -m tests.families DIRECTORY

Makes a tiny random model of each family, exports it, and compares what it generates. The exports and the results stay
in the directory. Run it in one environment after the other with the same directory: the table has a column for each.
A family that the installed versions cannot export is loaded from the export of others.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from optimum_dynexec import DynExecModelForCausalLM, EarlyExitConfig, export_dynexec
from optimum_dynexec.heads.config import DecoderHeadConfig
from optimum_dynexec.heads.storage import save_head
from tests.tiny_models import TEXT, TINY_DECODERS, TINY_MIXTURES, TINY_OTHERS, build_tokenizer, save_tiny_decoder


# Longer than the sliding windows.
PROMPT = TEXT[1] + " " + TEXT[1]
NEW_TOKENS = 48
GREEDY = {"do_sample": False, "max_new_tokens": NEW_TOKENS}
# The default schedule proposes nothing where its measurements say that this costs time.
CONSTANT = {"num_assistant_tokens_schedule": "constant"}
# A negative penalty rewards repetition: a random model then writes text in which something can be looked up.
LOOPING = {**GREEDY, "presence_penalty": -4.0}


def prepare(family: str, directory: Path) -> tuple[Path, str | None]:
    """The directory of a family's export, with the model beside it, and why this environment could not make it."""
    home = directory / version("transformers") / family
    if not (home / "hf").is_dir():
        save_tiny_decoder(family, home / "hf")
    try:
        export_dynexec(home / "hf", home / "ov", weight_format="fp32")
    except Exception as error:
        others = [path for path in sorted(directory.glob(f"*/{family}")) if (path / "ov").is_dir()]
        return (others or [home])[0], str(error)
    return home, None


def plain_is_right(model: DynExecModelForCausalLM, source: Path, inputs: dict) -> bool:
    """Whether plain decoding gives the tokens of transformers."""
    expected = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval().generate(**inputs, **GREEDY)
    return torch.equal(model.generate(**inputs, **GREEDY, speculation="off"), expected)


def drafts_are_right(model: DynExecModelForCausalLM, inputs: dict) -> bool:
    """Whether prompt lookup and a draft model, the model itself, propose tokens and change none."""
    expected = model.generate(**inputs, **LOOPING, speculation="off")
    for how in (
        {"prompt_lookup_num_tokens": 6},
        {"assistant_model": model, "num_assistant_tokens": 5, "assistant_confidence_threshold": 0.0, **CONSTANT},
    ):
        if not torch.equal(model.generate(**inputs, **LOOPING, **how), expected) or not model.last_stats.accepted:
            return False
    return True


def exits_are_right(home: Path, inputs: dict) -> bool:
    """
    Whether a head after the first layer lets every token leave there, changes none if none may leave, and changes none
    as a draft.
    """
    config = AutoConfig.from_pretrained(home / "hf")
    head = DecoderHeadConfig(kind="norm", layer=0, hidden_size=config.hidden_size, vocab_size=config.vocab_size)
    tensors = {
        "norm.weight": np.ones(config.hidden_size, np.float32),
        "token_ids": np.arange(config.vocab_size, dtype=np.int64),
    }
    save_head(head, tensors, home / "head.safetensors")
    model = DynExecModelForCausalLM.from_pretrained(home / "ov", precision="exact", heads=home / "head.safetensors")
    expected = model.generate(**inputs, **GREEDY, speculation="off")
    # A lone exit has no earlier one to agree with.
    never = model.generate(**inputs, **GREEDY, early_exit=EarlyExitConfig(criterion="patience", threshold=1))
    drafted = model.generate(**inputs, **GREEDY, speculation="exit_heads", num_assistant_tokens=5, **CONSTANT)
    proposed = model.last_stats.proposed
    model.generate(**inputs, **GREEDY, early_exit=EarlyExitConfig(criterion="max_prob", threshold=0.0))
    left = model.last_stats.exit_histogram[0]
    return torch.equal(never, expected) and torch.equal(drafted, expected) and proposed > 0 and left > 0


def examine(family: str, directory: Path) -> dict[str, str]:
    """For each step, "yes" or what is wrong with it. Steps after one that fails as a whole are left out."""
    home, refusal = prepare(family, directory)
    results = {"export": refusal or "yes"}
    if not (home / "ov").is_dir():
        return results
    inputs = dict(build_tokenizer()(PROMPT, return_tensors="pt", return_token_type_ids=False))
    try:
        model = DynExecModelForCausalLM.from_pretrained(home / "ov", precision="exact")
    except Exception as error:
        return {**results, "plain": str(error)}
    steps = {"plain": lambda: plain_is_right(model, home / "hf", inputs)}
    if not model.dynexec_config.pageable:
        results["pages"] = str(model.dynexec_config.pageable_reason)
    else:
        results["pages"] = "yes"
        steps |= {
            "early exit": lambda: exits_are_right(home, inputs),
            "drafts": lambda: drafts_are_right(model, inputs),
        }
    for name, step in steps.items():
        try:
            results[name] = "yes" if step() else "other tokens, or no drafts"
        except Exception as error:
            results[name] = f"{type(error).__name__}: {error}"
    return results


def cell(results: dict[str, str] | None) -> str:
    if results is None:
        return ""
    first = "export" if results["export"] == "yes" else "load"
    can = [first] if results.get("plain") == "yes" else []
    return ", ".join(can + [step for step in ("pages", "early exit", "drafts") if results.get(step) == "yes"]) or "no"


def table(all_results: dict[str, dict[str, dict[str, str]]]) -> str:
    versions = sorted(all_results)
    lines = [f"| family | {' | '.join(versions)} |", "| --- " * (len(versions) + 1) + "|"]
    for family in sorted({family for results in all_results.values() for family in results}):
        lines.append(f"| {family} | {' | '.join(cell(all_results[one].get(family)) for one in versions)} |")
    return "\n".join(lines)


def main(directory: Path, families: list[str]) -> None:
    file = directory / "results.json"
    everything = json.loads(file.read_text()) if file.is_file() else {}
    installed = f"transformers {version('transformers')}, optimum-intel {version('optimum-intel')}"
    results = everything.setdefault(installed, {})
    for family in families or [*TINY_DECODERS, *TINY_MIXTURES, *TINY_OTHERS]:
        results[family] = examine(family, directory)
        print(family, results[family], file=sys.stderr, flush=True)
        file.write_text(json.dumps(everything, indent=2))
    print(table(everything))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
