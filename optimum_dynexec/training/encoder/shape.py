"""The shape of the heads to train."""

from dataclasses import dataclass

from ...directory.encoder_fit import ExitShape
from ...heads.config import ACTIVATIONS, POOLINGS, EncoderHeadConfig


@dataclass(frozen=True)
class HeadOptions:
    """
    Options of encoders' exit heads; see [`EncoderHeadConfig`].

    Args:
        pooling (`str`, *optional*, defaults to `"mean"`):
            pooling, `"mean"` or `"cls"`. Hidden states that are not a sequence have no first token, and are always
            averaged.
        dense_size (`int`, *optional*):
            width of a dense layer before the output; with 0, there is none. If not set: `hidden_size` for kind
            `"pooled"`, else 0.
        activation (`str`, *optional*, defaults to `"gelu"`): activation after that layer.
        layer_norm (`bool`, *optional*, defaults to `True`): whether a layer norm follows the pooling.
        certainty (`bool`, *optional*, defaults to `False`):
            whether the heads learn to predict their certainty (BERxiT), which the criterion `learned` needs.

    Raises:
        `ValueError`: if a value is not accepted.
    """

    pooling: str = "mean"
    dense_size: int | None = None
    activation: str = "gelu"
    layer_norm: bool = True
    certainty: bool = False

    def __post_init__(self) -> None:
        for name, accepted in (("pooling", POOLINGS), ("activation", ACTIVATIONS)):
            if getattr(self, name) not in accepted:
                raise ValueError(f"`{name}` must be one of {list(accepted)}, but it is {getattr(self, name)!r}")
        if self.dense_size is not None and self.dense_size < 0:
            raise ValueError(f"`dense_size` must be 0 or more, but it is {self.dense_size!r}")

    def head_config(self, layer: int, shape: ExitShape, has_mask: bool) -> EncoderHeadConfig:
        """
        Makes a head's configuration.

        Args:
            layer (`int`): layer whose hidden states the head reads.
            shape ([`~directory.encoder_fit.ExitShape`]): shape of the hidden states and the outputs there.
            has_mask (`bool`): whether the model takes an attention mask.
        """
        pooled, tokens = shape.kind == "pooled", shape.layout == "tokens"
        pooling = self.pooling if tokens and pooled else "mean"
        dense_size = self.dense_size
        if dense_size is None:
            dense_size = shape.hidden_size if pooled else 0
        return EncoderHeadConfig(
            kind=shape.kind,
            layer=layer,
            hidden_size=shape.hidden_size,
            num_labels=shape.num_labels,
            pooling=pooling,
            layout=shape.layout,
            masked=pooled and tokens and has_mask and pooling == "mean",
            dense_size=dense_size,
            activation=self.activation,
            layer_norm=self.layer_norm,
            certainty=self.certainty,
        )
