"""`quantize_dynexec` of diffusion pipelines."""

import openvino as ov
from optimum.intel import OVQuantizationConfig

from optimum_dynexec.quantization import quantize_dynexec


def test_pipeline(tiny_diffusion, tmp_path):
    from optimum_dynexec import DynExecDiffusionPipeline

    (tmp_path / "prompts.txt").write_text("a red rose\na blue sky\n")
    config = OVQuantizationConfig(num_samples=4)
    source = tiny_diffusion("stable-diffusion")
    written = quantize_dynexec(source, tmp_path / "sd", quantization_config=config, dataset=[tmp_path / "prompts.txt"])
    assert written is None
    kinds = {op.get_type_name() for op in ov.Core().read_model(tmp_path / "sd/unet/openvino_model.xml").get_ops()}
    assert "FakeQuantize" in kinds
    assert "a red rose" not in (tmp_path / "sd" / "openvino_config.json").read_text()
    pipe = DynExecDiffusionPipeline.from_pretrained(tmp_path / "sd")
    assert len(pipe("a red rose", num_inference_steps=2, dynexec={"convergence": True}).images) == 1
