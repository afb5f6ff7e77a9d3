"""What one `generate` call did, in figures."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..native import _C


# The name of the proposers that draft with exit heads.
EXIT_HEADS = "exit_heads"


@dataclass(frozen=True)
class ProposerStats:
    """
    What one source of draft tokens contributed.

    Args:
        name (`str`): `"prompt_lookup"`, `"draft_head"`, `"draft_model"` or `"exit_heads"`.
        proposed (`int`): draft tokens it proposed.
        accepted (`int`): of these, the tokens that were accepted.
        forwards (`int`): forward passes of its own model.
        layer (`int`, *optional*): of `"exit_heads"`, the layer after which the head drafts.
    """

    name: str
    proposed: int
    accepted: int
    forwards: int
    layer: int | None = None

    def __str__(self) -> str:
        source = self.name if self.layer is None else f"{self.name} after layer {self.layer}"
        rate = self.accepted / self.proposed if self.proposed else 0.0
        return f"{source}: {self.accepted} of {self.proposed} tokens accepted ({rate:.0%})"


@dataclass(frozen=True)
class GenerationStats:
    """
    Statistics of one `generate` call. Times are wall clock seconds; `print` gives a readable block.

    Args:
        sequences (`int`): output sequences.
        prompt_tokens (`int`): prompt tokens over all sequences, padding left out.
        tokens (`int`): generated tokens over all sequences.
        target_forwards (`int`): forward passes of the model itself, those of the prompts included.
        prefill_forwards (`int`): of these, the passes that carried prompt tokens.
        verifications (`int`): (sequence, forward pass) pairs that gave at least one token.
        drafted_verifications (`int`): of these, those that had draft tokens to verify.
        accepted_histogram (`list[int]`): `[k]` counts the drafted verifications that accepted exactly `k` tokens.
        proposers (`list[ProposerStats]`): the sources of draft tokens.
        exit_histogram (`dict[int, int]`):
            With early exit, how many tokens left after each layer; the last layer is the full model.
        total_seconds (`float`): the decode loop, from the tokens of the prompt to the last token.
        prefill_seconds (`float`): in forward passes that carried prompt tokens.
        propose_seconds (`float`): making drafts, the forward passes of draft models and heads included.
        run_seconds (`float`): in the other forward passes of the model.
        exit_head_seconds (`float`): with early exit, in the exit heads.
        decide_seconds (`float`): verifying, choosing, stopping criteria and streaming.
        time_to_first_token (`float`): until the first token of any sequence.
    """

    sequences: int
    prompt_tokens: int
    tokens: int
    target_forwards: int
    prefill_forwards: int
    verifications: int
    drafted_verifications: int
    accepted_histogram: list[int]
    proposers: list[ProposerStats] = field(default_factory=list)
    exit_histogram: dict[int, int] = field(default_factory=dict)
    total_seconds: float = 0.0
    prefill_seconds: float = 0.0
    propose_seconds: float = 0.0
    run_seconds: float = 0.0
    exit_head_seconds: float = 0.0
    decide_seconds: float = 0.0
    time_to_first_token: float = 0.0

    @classmethod
    def from_engine(
        cls, stats: _C.Stats, layers: Sequence[int] = (), draft_layers: Sequence[int] = ()
    ) -> "GenerationStats":
        """
        Copies the `Stats` of the C++ decode loop.

        Args:
            stats (`_C.Stats`): of one call.
            layers (`Sequence[int]`, *optional*): the last layer of each of the engine's segments.
            draft_layers (`Sequence[int]`, *optional*): of the exit heads that draft, in the order of the call.
        """
        others = ("proposers", "exit_histogram")
        values = {name: getattr(stats, name) for name in cls.__dataclass_fields__ if name not in others}
        drafting = iter(draft_layers)
        proposers = [
            ProposerStats(p.name, p.proposed, p.accepted, p.forwards, next(drafting) if p.name == EXIT_HEADS else None)
            for p in stats.proposers
        ]
        exits = {layers[segment]: count for segment, count in stats.exit_histogram}
        return cls(**values, proposers=proposers, exit_histogram=exits)

    @property
    def proposed(self) -> int:
        """Draft tokens that were proposed."""
        return sum(proposer.proposed for proposer in self.proposers)

    @property
    def accepted(self) -> int:
        """Draft tokens that were accepted."""
        return sum(proposer.accepted for proposer in self.proposers)

    @property
    def draft_forwards(self) -> int:
        """Forward passes of draft models and draft heads."""
        return sum(proposer.forwards for proposer in self.proposers)

    @property
    def acceptance_rate(self) -> float:
        """Share of the proposed tokens that were accepted; 0 if none was proposed."""
        return self.accepted / self.proposed if self.proposed else 0.0

    @property
    def mean_accepted_length(self) -> float:
        """Mean tokens per verification, the model's own token included: 1 is plain decoding (Spec-Bench's figure)."""
        return self.tokens / self.verifications if self.verifications else 0.0

    @property
    def mean_exit_layers(self) -> float:
        """Mean number of layers that a token went through before it was chosen; 0 without early exit."""
        tokens = sum(self.exit_histogram.values())
        return sum((layer + 1) * n for layer, n in self.exit_histogram.items()) / tokens if tokens else 0.0

    @property
    def tokens_per_second(self) -> float:
        """Generated tokens per second, prompt processing included."""
        return self.tokens / self.total_seconds if self.total_seconds else 0.0

    @property
    def decode_tokens_per_second(self) -> float:
        """Tokens per second after the prompt: the first token of each sequence and the prefill are left out."""
        seconds = self.total_seconds - self.prefill_seconds
        return max(self.tokens - self.sequences, 0) / seconds if seconds > 0 else 0.0

    def __str__(self) -> str:
        other = self.total_seconds - self.prefill_seconds - self.propose_seconds - self.run_seconds
        other -= self.exit_head_seconds
        lines = [
            f"{self.tokens} tokens in {self.total_seconds:.3f} s: {self.tokens_per_second:.1f} tokens/s"
            f" ({self.decode_tokens_per_second:.1f} after the prompt), first token after"
            f" {self.time_to_first_token * 1e3:.0f} ms",
            f"prompt {self.prompt_tokens} tokens, {self.sequences} sequence(s)",
            f"forward passes: {self.target_forwards} of the model, {self.draft_forwards} of drafts;"
            f" {self.mean_accepted_length:.2f} tokens per verification",
        ]
        exit_heads = f" exit heads {self.exit_head_seconds:.3f} s," if self.exit_histogram else ""
        for proposer in self.proposers:
            if proposer.proposed or proposer.forwards:
                lines.append(str(proposer))
        if self.drafted_verifications:
            counts = "  ".join(f"{k}:{n}" for k, n in enumerate(self.accepted_histogram) if n)
            lines.append(f"accepted per draft (length:times): {counts}")
        if self.exit_histogram:
            counts = "  ".join(f"{layer}:{n}" for layer, n in self.exit_histogram.items())
            lines.append(f"left after layer (layer:tokens): {counts}; {self.mean_exit_layers:.1f} layers per token")
        lines.append(
            f"time: prefill {self.prefill_seconds:.3f} s, propose {self.propose_seconds:.3f} s,"
            f" run {self.run_seconds:.3f} s,{exit_heads} decide {self.decide_seconds:.3f} s,"
            f" other {max(other - self.decide_seconds, 0.0):.3f} s"
        )
        return "\n".join(lines)
