"""Statistics of one `generate` call."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..native import _C


# The name of the proposers that draft with exit heads.
EXIT_HEADS = "exit_heads"


@dataclass(frozen=True)
class ProposerStats:
    """
    Statistics of one source of draft tokens.

    Args:
        name (`str`): `"suffix"`, `"prompt_lookup"`, `"draft_head"`, `"draft_model"` or `"exit_heads"`.
        proposed (`int`): number of draft tokens that it proposed.
        accepted (`int`): number of these draft tokens that were accepted.
        forwards (`int`): number of forward passes of its own model.
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
    Statistics of one `generate` call. Times are wall-clock seconds; forward passes that other calls share count fully.
    `print` shows a readable summary.

    Args:
        sequences (`int`): number of output sequences.
        prompt_tokens (`int`): number of prompt tokens of all sequences, without padding.
        tokens (`int`): number of generated tokens of all sequences.
        target_forwards (`int`): number of forward passes of the model itself, including those of the prompts.
        prefill_forwards (`int`): number of these passes that contained prompt tokens.
        verifications (`int`): number of (sequence, forward pass) pairs that produced at least one token.
        drafted_verifications (`int`): number of these pairs that had draft tokens to verify.
        accepted_histogram (`list[int]`):
            entry `[k]` is the number of drafted verifications that accepted exactly `k` tokens.
        proposers (`list[ProposerStats]`): the sources of draft tokens.
        exit_histogram (`dict[int, int]`):
            With early exit, the number of tokens that left after each layer; the last layer is the full model.
        total_seconds (`float`): time of the decode loop, from the prompt to the last token.
        prefill_seconds (`float`): time in forward passes that contained prompt tokens.
        propose_seconds (`float`): time to make drafts, including the forward passes of draft models and heads.
        run_seconds (`float`): time in the other forward passes of the model.
        exit_head_seconds (`float`): time in the exit heads, with early exit.
        decide_seconds (`float`): time to verify and choose tokens, to check stopping criteria and to stream.
        time_to_first_token (`float`): time until the first token of any sequence.
        precision (`str`): precision of the model, as in [`DynExecModelForCausalLM`]; empty if unknown.
        cached_tokens (`int`): number of prompt tokens whose keys and values were known (`prefix_cache`).
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
    precision: str = ""
    cached_tokens: int = 0

    @classmethod
    def from_engine(
        cls, stats: _C.Stats, layers: Sequence[int] = (), draft_layers: Sequence[int] = ()
    ) -> "GenerationStats":
        """
        Makes the statistics from the `Stats` of the C++ decode loop.

        Args:
            stats (`_C.Stats`): statistics of one call.
            layers (`Sequence[int]`, *optional*): the last layer of each of the engine's segments.
            draft_layers (`Sequence[int]`, *optional*): of the exit heads that draft, in the order of the call.
        """
        others = ("proposers", "exit_histogram", "precision")
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
        """Number of draft tokens that were proposed."""
        return sum(proposer.proposed for proposer in self.proposers)

    @property
    def accepted(self) -> int:
        """Number of draft tokens that were accepted."""
        return sum(proposer.accepted for proposer in self.proposers)

    @property
    def draft_forwards(self) -> int:
        """Number of forward passes of draft models and draft heads."""
        return sum(proposer.forwards for proposer in self.proposers)

    @property
    def acceptance_rate(self) -> float:
        """Acceptance rate: the share of proposed tokens that were accepted; 0 if none was proposed."""
        return self.accepted / self.proposed if self.proposed else 0.0

    @property
    def mean_accepted_length(self) -> float:
        """
        Mean accepted length: the number of tokens per forward pass of the model and sequence, including the model's
        own token; 1 is plain decoding (as in Spec-Bench).
        """
        return self.tokens / self.verifications if self.verifications else 0.0

    @property
    def mean_exit_layers(self) -> float:
        """Mean number of layers that a token went through before it was chosen; 0 without early exit."""
        tokens = sum(self.exit_histogram.values())
        return sum((layer + 1) * n for layer, n in self.exit_histogram.items()) / tokens if tokens else 0.0

    @property
    def tokens_per_second(self) -> float:
        """Generated tokens per second, including the time for the prompt."""
        return self.tokens / self.total_seconds if self.total_seconds else 0.0

    @property
    def decode_tokens_per_second(self) -> float:
        """Generated tokens per second without the prefill and without the first token of each sequence."""
        seconds = self.total_seconds - self.prefill_seconds
        return max(self.tokens - self.sequences, 0) / seconds if seconds > 0 else 0.0

    def __str__(self) -> str:
        other = self.total_seconds - self.prefill_seconds - self.propose_seconds - self.run_seconds
        other -= self.exit_head_seconds
        lines = [
            f"{self.tokens} tokens in {self.total_seconds:.3f} s: {self.tokens_per_second:.1f} tokens/s"
            f" ({self.decode_tokens_per_second:.1f} after the prompt), first token after"
            f" {self.time_to_first_token * 1e3:.0f} ms",
            f"prompt {self.prompt_tokens} tokens"
            + (f" ({self.cached_tokens} known)" if self.cached_tokens else "")
            + f", {self.sequences} sequence(s)",
        ]
        passes = f"forward passes: {self.target_forwards} of the model"
        if self.drafted_verifications:
            passes += f", {self.draft_forwards} of drafts; mean accepted length {self.mean_accepted_length:.2f} tokens"
        lines.append(passes)
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
