"""What a head is like, apart from its weights."""

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any


KINDS = ("norm", "adapter", "block", "draft")
FORMAT_VERSION = 1


@dataclass(frozen=True)
class HeadConfig:
    """
    Shape and place of one head. It stands in the metadata of the head's safetensors file.

    Args:
        kind (`str`):
            `"norm"`, `"adapter"` or `"block"` for an exit head, `"draft"` for the draft head.
        layer (`int`, *optional*):
            Layer whose hidden states an exit head reads; 0 is the first. `None` for the draft head, which reads what
            the backbone's unembedding reads.
        hidden_size (`int`): width of the backbone's hidden states.
        vocab_size (`int`): number of the backbone's tokens.
        num_attention_heads, num_key_value_heads, head_dim, intermediate_size (`int`, *optional*, defaults to 0):
            Of the transformer block of the kinds `"block"` and `"draft"`.
        rope_theta (`float`, *optional*, defaults to 10000.0): base of that block's rotary position embeddings.
        norm_eps (`float`, *optional*, defaults to 1e-5): of all RMS norms.
        rank (`int`, *optional*, defaults to 0): of the kind `"adapter"`.
        shares_unembedding (`bool`, *optional*, defaults to `True`):
            Whether the head uses the backbone's rows to go from hidden states to its words.
        stop_classifier (`tuple[float, ...]`, *optional*):
            3 weights and a bias, from [`~heads.stop_classifier.fit_stop_classifier`]: tells how probable it is that a
            drafted token is accepted. The schedule `"disco"` needs it.
        format_version (`int`, *optional*, defaults to 1): of the file.

    Raises:
        `ValueError`: if a field's value is not acceptable; the message names the field, the value and what is
            accepted.
    """

    kind: str
    layer: int | None
    hidden_size: int
    vocab_size: int
    num_attention_heads: int = 0
    num_key_value_heads: int = 0
    head_dim: int = 0
    intermediate_size: int = 0
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5
    rank: int = 0
    shares_unembedding: bool = True
    stop_classifier: tuple[float, ...] | None = None
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"`kind` must be one of {list(KINDS)}, but it is {self.kind!r}")
        if (self.layer is None) != (self.kind == "draft"):
            raise ValueError(
                f"`layer` must be given exactly for exit heads, but it is {self.layer!r} for {self.kind!r}"
            )
        if self.format_version > FORMAT_VERSION:
            raise ValueError(f"`format_version` is {self.format_version}, this version reads up to {FORMAT_VERSION}")
        positive = ["hidden_size", "vocab_size", "norm_eps"]
        if self.has_block:
            positive += ["num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size", "rope_theta"]
        if self.kind == "adapter":
            positive.append("rank")
        for name in positive:
            if not getattr(self, name) > 0:
                raise ValueError(
                    f"`{name}` must be positive for kind {self.kind!r}, but it is {getattr(self, name)!r}"
                )
        if self.has_block and self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"`num_attention_heads` must be a multiple of `num_key_value_heads`, but they are "
                f"{self.num_attention_heads} and {self.num_key_value_heads}"
            )

        if self.stop_classifier is not None:
            weights = tuple(float(weight) for weight in self.stop_classifier)
            if len(weights) != 4 or not all(map(math.isfinite, weights)):
                raise ValueError(f"`stop_classifier` must be 4 finite numbers, but it is {self.stop_classifier!r}")
            object.__setattr__(self, "stop_classifier", weights)

    @property
    def name(self) -> str:
        """`draft_head`, or `exit_head_` and the layer; its files are called so."""
        return "draft_head" if self.layer is None else f"exit_head_{self.layer}"

    @property
    def has_block(self) -> bool:
        """Whether the head holds a transformer block, and so a KV cache of its own."""
        return self.kind in ("block", "draft")

    def to_json(self) -> str:
        """The fields as a JSON object."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "HeadConfig":
        """
        Reads what [`~HeadConfig.to_json`] wrote.

        Raises:
            `ValueError`: if the text is not a JSON object, or a field is unknown, missing or not acceptable.
        """
        values: Any = json.loads(text)
        known = {f.name for f in fields(cls)}
        if not isinstance(values, dict) or not set(values) <= known:
            raise ValueError(f"the configuration of a head has the fields {sorted(known)}, not {text[:200]!r}")
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"the configuration of a head is incomplete or of wrong types: {error}") from error
