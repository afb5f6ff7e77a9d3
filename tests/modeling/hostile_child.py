"""Loads and uses a directory whose configuration comes on standard input, a JSON object in each line, and says what
came of it, for a test that is to live on where this process does not."""

import json
import sys
from pathlib import Path

import torch

from optimum_dynexec import DynExecModelForCausalLM, DynExecModelForSequenceClassification, EarlyExitConfig


IDS = torch.tensor([[5, 6, 7, 8]])
ARGUMENTS = {"inputs": IDS, "attention_mask": torch.ones_like(IDS), "max_new_tokens": 4, "do_sample": False}


def use_decoder(directory: Path) -> list[list[int]]:
    """What plain decoding gives, and all modes that must give the same. Others run too."""
    model = DynExecModelForCausalLM.from_pretrained(directory, precision="exact")
    layers = list(model.engine.exit_heads)
    modes = [{"speculation": "off"}, {}, *({"assistant_early_exit": layer + 1} for layer in layers)]
    if model.engine.draft_head is not None:
        modes.append({"speculation": "draft_head"})
    given = [model.generate(**ARGUMENTS, **mode)[0].tolist() for mode in modes]
    for kv in ("recompute", "copy") if layers else ():
        model.generate(**ARGUMENTS, early_exit=EarlyExitConfig(threshold=0.1, kv=kv))
    if model.dynexec_config.calibration is not None:
        model.generate(**ARGUMENTS, early_exit="calibrated")
    return given


def use_encoder(directory: Path) -> list[list[int]]:
    """The labels with and without exits that nothing leaves at."""
    model = DynExecModelForSequenceClassification.from_pretrained(directory, precision="exact")
    inputs = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS), "token_type_ids": 0 * IDS}
    modes = [None]
    if model.exit_layers:
        model(**inputs, early_exit=EarlyExitConfig(threshold=0.1))
        modes.append(EarlyExitConfig(threshold=1.0))
        model.exit_logits(**inputs)
    if model.dynexec_config.calibration is not None:
        model(**inputs, early_exit="calibrated")
    return [model(**inputs, early_exit=mode).logits.argmax(-1).tolist() for mode in modes]


USES = {"decoder": use_decoder, "encoder": use_encoder}

if __name__ == "__main__":
    use, directory = USES[sys.argv[1]], Path(sys.argv[2])
    for line in sys.stdin:
        (directory / "dynexec_config.json").write_text(line)
        try:
            result = {"given": use(directory)}
        except Exception as error:
            result = {"error": type(error).__name__, "accepted": isinstance(error, ValueError), "message": str(error)}
        print(json.dumps(result), flush=True)
