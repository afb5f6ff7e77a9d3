"""Random exit heads of encoders, for tests: what they say is arbitrary, but differs clearly between inputs."""

from pathlib import Path

import numpy as np
import openvino as ov

from optimum_dynexec import DynExecConfig
from optimum_dynexec.directory.encoder_fit import exit_shape
from optimum_dynexec.heads import EncoderHeadConfig, save_head
from optimum_dynexec.heads.tensors import tensor_shapes


def random_encoder_heads(
    export: Path, layers: list[int], directory: Path, *, seed: int = 0, scale: float = 1.0, **options
) -> Path:
    """
    Writes a random head for each of some layers of an exported model.

    Args:
        export (`Path`): the model's directory.
        layers (`list[int]`): the layers.
        directory (`Path`): where to write; made if absent.
        seed (`int`, *optional*, defaults to 0): of the weights.
        scale (`float`, *optional*, defaults to 1): of the weights; the larger, the surer the heads are.
        options: fields of the heads' configuration.
    """
    model = ov.Core().read_model(export / "openvino_model.xml")
    config = DynExecConfig.from_pretrained(export)
    generator = np.random.default_rng(seed)
    directory.mkdir(parents=True, exist_ok=True)
    for layer in layers:
        shape = exit_shape(model, config, layer)
        own = {} if shape.layout == "tokens" else {"pooling": "mean"}
        head = EncoderHeadConfig(
            kind=shape.kind,
            layer=layer,
            hidden_size=shape.hidden_size,
            num_labels=shape.num_labels,
            layout=shape.layout,
            **{**own, **options},
        )
        tensors = {
            name: (scale * generator.standard_normal(size)).astype(np.float32)
            for name, size in tensor_shapes(head, 0).items()
        }
        save_head(head, tensors, directory / f"{head.name}.safetensors")
    return directory
