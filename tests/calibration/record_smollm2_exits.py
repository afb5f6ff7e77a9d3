"""
Makes data/smollm2_exits.safetensors, which test_real_case.py reads:

    python -m tests.calibration.record_smollm2_exits MODEL_DIR gsm8k_test.jsonl

`MODEL_DIR` is an export of SmolLM2-135M-Instruct in float32; gsm8k_test.jsonl is the test part of
https://github.com/openai/grade-school-math. The exit heads are the model's own last norm and unembedding after layers
22 and 26 of 30 (the logit lens), which takes no training.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import openvino as ov

from optimum_dynexec.calibration import RecordingArguments, record_decoder
from optimum_dynexec.heads.attach import attach_heads
from optimum_dynexec.heads.backbone_graph import norm_weight_before
from optimum_dynexec.heads.config import HeadConfig
from optimum_dynexec.heads.storage import save_head


LAYERS = (22, 26)


def main(model: str, questions: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        copy, heads = shutil.copytree(model, Path(directory) / "model"), Path(directory) / "heads"
        heads.mkdir()
        norm = norm_weight_before(ov.Core().read_model(copy / "openvino_model.xml"))
        assert norm is not None
        tensors = {"norm.weight": norm, "token_ids": np.arange(49152)}
        for layer in LAYERS:
            config = HeadConfig("norm", layer, hidden_size=len(norm), vocab_size=49152)
            save_head(config, tensors, heads / f"{config.name}.safetensors")
        attach_heads(copy, heads)
        args = RecordingArguments(max_samples=400, max_new_tokens=25)
        records = record_decoder(copy, [f"{questions}:question"], args)
    path = Path(__file__).parent / "data" / "smollm2_exits.safetensors"
    records.save(path)
    print(f"{path}: {records.num_groups} texts, {records.num_samples} tokens, exits after layers {records.layers}")


if __name__ == "__main__":
    main(*sys.argv[1:])
