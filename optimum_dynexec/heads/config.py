"""The configuration of a head: everything except its weights."""

import json
import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

from ..utils.field_types import check_field_types


DECODER_KINDS = ("norm", "adapter", "block", "draft")
ENCODER_KINDS = ("pooled", "token", "span", "features")
KINDS = (*DECODER_KINDS, *ENCODER_KINDS)
POOLINGS = ("cls", "mean")
LAYOUTS = ("tokens", "nchw", "nhwc")
ACTIVATIONS = ("tanh", "relu", "gelu")
FORMAT_VERSION = 1


@dataclass(frozen=True)
class HeadConfig(ABC):
    """
    The shape and the place of one head: a [`DecoderHeadConfig`] or an [`EncoderHeadConfig`]. It is stored in the
    metadata of the head's safetensors file.

    Args:
        kind (`str`): the computation of the head; one of the class's `kinds`.
        layer (`int`, *optional*):
            Layer whose hidden states an exit head reads; 0 is the first layer. `None` for a draft head, which reads
            the input of the backbone's unembedding.
        hidden_size (`int`): width of the backbone's hidden states at that layer.
        norm_eps (`float`, *optional*, defaults to 1e-5): epsilon of all norms.
        format_version (`int`, *optional*, defaults to 1): version of the file's layout.

    Raises:
        `ValueError`: if the value of a field is not accepted. The message names the field, the value and what is
            accepted.
    """

    # The accepted values of `kind`.
    kinds: ClassVar[tuple[str, ...]]

    kind: str
    layer: int | None
    hidden_size: int
    norm_eps: float = field(default=1e-5, kw_only=True)
    format_version: int = field(default=FORMAT_VERSION, kw_only=True)

    def __post_init__(self) -> None:
        check_field_types(self)
        if self.kind not in self.kinds:
            raise ValueError(f"`kind` must be one of {list(self.kinds)}, but it is {self.kind!r}")
        if (self.layer is None) != (self.kind == "draft"):
            raise ValueError(
                f"`layer` must be given for exit heads and for no other head, but it is {self.layer!r} for"
                f" {self.kind!r}"
            )
        if self.format_version > FORMAT_VERSION:
            raise ValueError(
                f"`format_version` is {self.format_version}, but this version of the library reads at most"
                f" {FORMAT_VERSION}"
            )
        for name in self._positive_fields():
            if not getattr(self, name) > 0:
                raise ValueError(
                    f"`{name}` must be positive for kind {self.kind!r}, but it is {getattr(self, name)!r}"
                )
        self._check()

    @abstractmethod
    def _positive_fields(self) -> list[str]:
        """Names of the fields that must be greater than 0."""

    @abstractmethod
    def _check(self) -> None:
        """Checks the fields that only this family of heads has."""

    @property
    def name(self) -> str:
        """`draft_head`, or `exit_head_` and the layer. The head's files have this name."""
        return "draft_head" if self.layer is None else f"exit_head_{self.layer}"

    @property
    def layers_read(self) -> list[int]:
        """The layers whose hidden states the head reads, apart from the last hidden states of a draft head."""
        return [] if self.layer is None else [self.layer]

    def check_layers(self, num_layers: int) -> None:
        """
        Checks that a model has the layers that the head reads.

        Args:
            num_layers (`int`): the number of the model's layers; there is no exit after the last one.

        Raises:
            `ValueError`: if the model lacks one of these layers.
        """
        if self.layer is not None and not 0 <= self.layer < num_layers - 1:
            raise ValueError(f"it is for layer {self.layer}, but the model with {num_layers} layers has no such exit")

    def to_json(self) -> str:
        """The fields as a JSON object."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "DecoderHeadConfig | EncoderHeadConfig":
        """
        Reads what [`~HeadConfig.to_json`] wrote.

        Raises:
            `ValueError`: if the text is not a JSON object, or a field is unknown, missing or has a value that is not
                accepted.
        """
        values: Any = json.loads(text)
        if not isinstance(values, dict) or values.get("kind") not in KINDS:
            raise ValueError(
                f"the configuration of a head must be a JSON object whose `kind` is one of {list(KINDS)}, but it is"
                f" {text[:200]!r}"
            )
        family = EncoderHeadConfig if values["kind"] in ENCODER_KINDS else DecoderHeadConfig
        known = {f.name for f in fields(family)}
        if not set(values) <= known:
            raise ValueError(f"the configuration of a head has the fields {sorted(known)}, but it is {text[:200]!r}")
        try:
            return family(**values)
        except TypeError as error:
            raise ValueError(
                f"the configuration of a head is incomplete, or a value has the wrong type: {error}"
            ) from error


@dataclass(frozen=True)
class DecoderHeadConfig(HeadConfig):
    """
    An exit head or the draft head of a decoder: it computes logits over tokens.

    Args:
        kind (`str`): `"norm"`, `"adapter"` or `"block"` for an exit head, `"draft"` for the draft head.
        layer (`int`, *optional*): layer that an exit head reads; `None` for a draft head.
        hidden_size (`int`): width of the backbone's hidden states at that layer.
        vocab_size (`int`): the size of the decoder's vocabulary.
        num_attention_heads (`int`, *optional*, defaults to 0):
            Number of query heads in the transformer block of the kinds `"block"` and `"draft"`.
        num_key_value_heads (`int`, *optional*, defaults to 0): number of key and value heads in that block.
        head_dim (`int`, *optional*, defaults to 0): size of an attention head in that block.
        intermediate_size (`int`, *optional*, defaults to 0): width of the MLP in that block.
        rope_theta (`float`, *optional*, defaults to 10000.0): base of that block's rotary position embeddings.
        rank (`int`, *optional*, defaults to 0): rank of a head of kind `"adapter"`.
        shares_unembedding (`bool`, *optional*, defaults to `True`):
            Whether the head computes its logits with the rows of the backbone's unembedding.
        feature_layers (`tuple[int, ...]`, *optional*, defaults to `()`):
            Layers whose hidden states a draft head reads in addition to the input of the unembedding (EAGLE-3, arXiv
            2503.01840), ascending.
        stop_classifier (`tuple[float, ...]`, *optional*):
            The 3 weights and the bias of a logistic regression: the probability that a draft token is accepted.
            The schedule `"disco"` needs it.

    Raises:
        `ValueError`: see [`HeadConfig`].
    """

    kinds = DECODER_KINDS

    vocab_size: int = 0
    num_attention_heads: int = 0
    num_key_value_heads: int = 0
    head_dim: int = 0
    intermediate_size: int = 0
    rope_theta: float = 10000.0
    rank: int = 0
    shares_unembedding: bool = True
    feature_layers: tuple[int, ...] = ()
    stop_classifier: tuple[float, ...] | None = None

    def _positive_fields(self) -> list[str]:
        block = ["num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size", "rope_theta"]
        return [
            "hidden_size",
            "norm_eps",
            "vocab_size",
            *(block if self.has_block else []),
            *(["rank"] if self.kind == "adapter" else []),
        ]

    def _check(self) -> None:
        if self.has_block and self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"`num_attention_heads` must be a multiple of `num_key_value_heads`, but they are "
                f"{self.num_attention_heads} and {self.num_key_value_heads}"
            )
        layers = tuple(self.feature_layers)
        wrong = [layer for layer in layers if not isinstance(layer, int) or layer < 0]
        if wrong or list(layers) != sorted(set(layers)) or (layers and self.kind != "draft"):
            raise ValueError(
                f"`feature_layers` must be ascending layers of a head of kind 'draft', but they are {layers} for "
                f"{self.kind!r}"
            )
        object.__setattr__(self, "feature_layers", layers)
        if self.stop_classifier is not None:
            weights = tuple(float(weight) for weight in self.stop_classifier)
            if len(weights) != 4 or not all(map(math.isfinite, weights)):
                raise ValueError(f"`stop_classifier` must be 4 finite numbers, but it is {self.stop_classifier!r}")
            object.__setattr__(self, "stop_classifier", weights)

    @property
    def layers_read(self) -> list[int]:
        """The layers whose hidden states the head reads, apart from the last hidden states of a draft head."""
        return [*self.feature_layers, *super().layers_read]

    def check_layers(self, num_layers: int) -> None:
        """See [`~HeadConfig.check_layers`]."""
        super().check_layers(num_layers)
        last = num_layers - 1
        if any(layer >= last for layer in self.feature_layers):
            raise ValueError(f"it reads layers {list(self.feature_layers)}, which must all be below {last}")

    @property
    def feature_size(self) -> int:
        """How many numbers the head reads per token: the hidden states of its feature layers, then `hidden_size`."""
        return (len(self.feature_layers) + 1) * self.hidden_size

    @property
    def has_block(self) -> bool:
        """Whether the head contains a transformer block and therefore its own KV cache."""
        return self.kind in ("block", "draft")


@dataclass(frozen=True)
class EncoderHeadConfig(HeadConfig):
    """
    An exit head of an encoder, vision or audio model. Its outputs are those of the model (docs/encoder_internals.md).

    Args:
        kind (`str`): `"pooled"`, `"token"`, `"span"` or `"features"`.
        layer (`int`): layer whose hidden states the head reads; 0 is the first layer.
        hidden_size (`int`): width of the model's hidden states at that layer.
        num_labels (`int`): size of the output: the number of labels; 2 for `"span"`; `hidden_size` for `"features"`.
        pooling (`str`, *optional*, defaults to `"cls"`):
            Pooling of the kind `"pooled"`: `"cls"`, the first token, or `"mean"`, over all tokens or positions.
        layout (`str`, *optional*, defaults to `"tokens"`):
            Layout of the hidden states: `"tokens"` `[batch, length, hidden_size]`, `"nchw"` `[batch, hidden_size,
            height, width]` or `"nhwc"` `[batch, height, width, hidden_size]`.
        masked (`bool`, *optional*, defaults to `False`):
            Whether the pooling ignores the tokens that an attention mask hides.
        dense_size (`int`, *optional*, defaults to 0): width of a dense layer before the output; with 0, there is none.
        activation (`str`, *optional*, defaults to `"tanh"`):
            activation after that layer: `"tanh"`, `"relu"` or `"gelu"`.
        layer_norm (`bool`, *optional*, defaults to `False`): whether a layer norm follows the pooling.
        certainty (`bool`, *optional*, defaults to `False`):
            Whether a head of kind `"pooled"` also computes a certainty of its answer (BERxiT's learning to exit).

    Raises:
        `ValueError`: see [`HeadConfig`].
    """

    kinds = ENCODER_KINDS

    num_labels: int = 0
    pooling: str = "cls"
    layout: str = "tokens"
    masked: bool = False
    dense_size: int = 0
    activation: str = "tanh"
    layer_norm: bool = False
    certainty: bool = False

    def _positive_fields(self) -> list[str]:
        return ["hidden_size", "norm_eps", "num_labels"]

    def _check(self) -> None:
        for name, accepted in (("pooling", POOLINGS), ("layout", LAYOUTS), ("activation", ACTIVATIONS)):
            if getattr(self, name) not in accepted:
                raise ValueError(f"`{name}` must be one of {list(accepted)}, but it is {getattr(self, name)!r}")
        if not isinstance(self.dense_size, int) or self.dense_size < 0:
            raise ValueError(f"`dense_size` must be 0 or more, but it is {self.dense_size!r}")
        pooled, tokens = self.kind == "pooled", self.layout == "tokens"
        expected = {"span": 2, "features": self.hidden_size}.get(self.kind, self.num_labels)
        for accepts, rule in (
            (tokens or pooled, f"`layout` must be 'tokens' for kind {self.kind!r}, but it is {self.layout!r}"),
            (tokens or self.pooling == "mean", f"`pooling` must be 'mean' for the layout {self.layout!r}"),
            (
                not self.masked or (pooled and tokens and self.pooling == "mean"),
                "`masked` is only for kind 'pooled' with `pooling='mean'` and `layout='tokens'`",
            ),
            (pooled or not self.certainty, f"`certainty` is only for kind 'pooled', not for {self.kind!r}"),
            (
                self.num_labels == expected,
                f"`num_labels` must be {expected} for kind {self.kind!r}, but it is {self.num_labels}",
            ),
        ):
            if not accepts:
                raise ValueError(rule)
