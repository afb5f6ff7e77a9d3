"""
Makes data/smollm2_exits.safetensors, which test_real_case.py reads:

    python -m tests.calibration.record_smollm2_exits MODEL_DIR HEADS_DIR prompts.jsonl

`MODEL_DIR` is an export of SmolLM2-135M-Instruct in float32, `HEADS_DIR` has trained exit heads, and prompts.jsonl has
prompts in its column `prompt`; neither Spec-Bench nor MT-bench.
"""

import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from optimum_dynexec.calibration import RecordingArguments, record_decoder
from optimum_dynexec.directory.attached_heads import attach_heads


def main(model: str, heads: str, prompts: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        copy = shutil.copytree(model, Path(directory) / "model")
        attach_heads(copy, heads)
        args = RecordingArguments(max_samples=400, max_new_tokens=13)
        records = record_decoder(copy, [f"{prompts}:prompt"], args)
    # How the directories are called says nothing.
    records = replace(records, source={**records.source, "data": ["prompts.jsonl:prompt"]})
    path = Path(__file__).parent / "data" / "smollm2_exits.safetensors"
    records.save(path)
    print(f"{path}: {records.num_groups} texts, {records.num_samples} tokens, exits after layers {records.layers}")


if __name__ == "__main__":
    main(*sys.argv[1:])
