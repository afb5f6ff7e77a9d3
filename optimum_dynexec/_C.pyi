"""
The compiled extension: the decode loop, encoders and kernels. Import it from `optimum_dynexec.native`.

Arguments are lists where nothing else is said. Calls of one model from several threads share its passes.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

# Names of tensors, see csrc/tensor_names.h.
INPUT_IDS: str
POSITION_IDS: str
PAST_LENS: str
SUBSEQUENCE_BEGINS: str
BLOCK_INDICES: str
BLOCK_INDICES_BEGINS: str
MAX_CONTEXT_LEN: str
KEY_CACHE: str
VALUE_CACHE: str
LOGITS_INDICES: str
ATTENTION_ROWS: str
KEPT_ROWS: str
HIDDEN_STATES: str
LAST_HIDDEN_STATES: str
ATTENTION_MASK: str
CERTAINTY: str

# ---- kernels -----------------------------------------------------------------------------------------------------

class LogitsStats:
    """What one row of logits says: the natural logarithm is that of `logsumexp` and `entropy`."""

    @property
    def argmax(self) -> int:
        """The most probable token; -1 if a logit is NaN."""
    @property
    def max(self) -> float: ...
    @property
    def logsumexp(self) -> float: ...
    @property
    def max_prob(self) -> float: ...
    @property
    def margin(self) -> float:
        """The largest probability less the second largest."""
    @property
    def entropy(self) -> float: ...

def logits_stats(logits: npt.ArrayLike) -> LogitsStats:
    """`logits`: float32 `[vocab]`. Raises `ValueError` for another rank, or no logits."""

class ExitView:
    """What an exit says about a token or a sample; `prediction` is -1, `certainty` NaN, where it says none."""

    def __init__(self, stats: LogitsStats, prediction: int, certainty: float = ...) -> None: ...

def criterion_names() -> list[str]: ...
def exit_scores(
    criterion: str,
    exits: Sequence[ExitView],
    position: int,
    weights: Sequence[Sequence[float]] = ...,
    bias: Sequence[float] = ...,
) -> list[float]:
    """
    The score at each exit, given it and those before. `weights` `[exits][features]` and `bias` `[exits]`: of a
    criterion that has learned some. Raises `ValueError` for an unknown criterion or weights that do not fit.
    """

class StopClassifier:
    """The probability that a draft token is accepted, from what its head says."""

    def __init__(self, weights: Sequence[float]) -> None: ...
    def accepted(self, prob: float, entropy: float, position: int) -> float: ...

class LogitsParams:
    """transformers' logits processors, those that are applied in C++, in its order. The defaults change nothing."""

    do_sample: bool
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    min_new_tokens: int
    eos_token_ids: list[int]
    def is_identity(self) -> bool: ...

def process_logits(
    logits: npt.ArrayLike, params: LogitsParams, prompt: Sequence[int], generated: Sequence[int]
) -> npt.NDArray[np.float32]:
    """`logits`: float32 `[vocab]`. Returns as many, processed."""

class Rng:
    def __init__(self, seed: int, stream: int = 0) -> None: ...
    def uniform(self) -> float:
        """From 0 to 1, without 1."""

def sample(weights: npt.ArrayLike, rng: Rng) -> int:
    """An index with a probability in proportion to its weight; `weights`: float32 `[n]`."""

def verify_sampled(proposed: int, p: npt.ArrayLike, q: npt.ArrayLike | None, rng: Rng) -> tuple[bool, int]:
    """
    Exact speculative sampling of one token (arXiv 2211.17192).

    `p`, `q`: float32 `[vocab]`, probabilities of the target and of the draft; without `q` the draft was certain.
    Returns whether `proposed` is accepted, and the token that comes.
    """

class NGramIndex:
    def __init__(self, max_ngram: int) -> None: ...
    def append(self, token: int) -> None: ...
    def propose(self, k: int) -> tuple[int, list[int]]:
        """The length of the longest match, and up to `k` tokens that followed it."""

def sample_differences(x: npt.ArrayLike, y: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """
    `x`, `y`: float32 `[samples, ...]`. Returns `[samples, 3]`: sum((x - y)^2), sum(|x - y|), sum(x^2). Raises
    `ValueError` for different shapes.
    """

def sample_cosines(x: npt.ArrayLike, y: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """`x`, `y`: float32 `[samples, ...]`. Returns `[samples]`."""

def combine_samples(inputs: Sequence[npt.ArrayLike], weights: Sequence[float]) -> npt.NDArray[np.float32]:
    """The weighted sum of float32 arrays of one shape."""

# ---- decoders ----------------------------------------------------------------------------------------------------

class RowLimits:
    """
    The sizes of passes in which the logits of a token do not depend on the other rows, bit for bit.

    `per_sequence`: least number of rows of each sequence in a pass; `least`: of a pass; `most`: largest number of rows
    of a pass; `attention`: least number of rows of each sequence that PagedAttention sees. Raises `ValueError` if no
    pass can keep them.
    """

    def __init__(self, per_sequence: int = 1, least: int = 1, most: int | None = None, attention: int = 1) -> None: ...
    @property
    def attention(self) -> int: ...
    @property
    def per_sequence(self) -> int: ...
    @property
    def least(self) -> int: ...
    @property
    def most(self) -> int | None: ...

class PagedModel:
    """
    A decoder, or a head, as a chain of compiled segments with one paged KV cache.

    `max_cache_tokens`: the most tokens that the cache may hold; 0: as many as memory has room for. Raises `ValueError`
    if a segment has an input that cannot be fed.
    """

    def __init__(self, segments: Sequence[ov.CompiledModel], max_cache_tokens: int = 0) -> None: ...
    def warm_up(self) -> None:
        """Runs passes of 1 to 32 tokens once: the first pass of a shape compiles its kernels."""
    def profile(self) -> None:
        """Times the same passes for `costs`."""
    def add_copiers(self, copiers: Sequence[ov.CompiledModel]) -> None:
        """`copiers`: for each segment but the first, what makes its keys and values of hidden states."""
    def keep_prefixes(self, tokens: int) -> None:
        """
        Keeps the KV blocks of finished sequences for later ones that begin with the same tokens, until their room is
        needed. The cache grows to `tokens` tokens before blocks are given up. Raises `ValueError` without a KV cache.
        """
    def forget_prefixes(self) -> None:
        """Forgets all KV blocks that no sequence uses."""
    @property
    def has_copiers(self) -> bool: ...
    @property
    def vocab_size(self) -> int: ...
    @property
    def num_segments(self) -> int: ...
    @property
    def hidden_size(self) -> int:
        """The size of the hidden states that the last segment gives in addition to logits; 0 if it gives none."""
    @property
    def input_hidden_size(self) -> int:
        """The size of the hidden states that the first segment takes; 0 if it takes none."""
    @property
    def has_attention_rows(self) -> bool:
        """Whether its PagedAttention may see more rows than its products."""
    @property
    def row_limits(self) -> RowLimits:
        """Passes are divided and rows are added so that they keep these limits."""
    @row_limits.setter
    def row_limits(self, limits: RowLimits) -> None: ...
    @property
    def cache_limit(self) -> int:
        """The most tokens that the KV cache may hold."""
    @property
    def rows_run(self) -> list[int]:
        """`[num_segments]`: tokens that each segment has run, padding included."""
    @property
    def cache_bytes(self) -> int: ...
    @property
    def free_blocks(self) -> int: ...
    @property
    def num_blocks(self) -> int: ...
    @property
    def block_size(self) -> int:
        """Tokens in a block of the cache."""
    @property
    def costs(self) -> list[tuple[int, float]]:
        """What passes cost at present: tokens, and seconds. Measured by `profile`, followed by the passes that run."""
    @property
    def switch_seconds(self) -> float:
        """What a pass takes on top that has another number of tokens than the one before."""

class DraftVocabulary:
    """
    The tokens of the target that the words of a draft model are: `token_ids` `[words]`, all different, or -1 for none.
    `spellings`: for each token of the target, the words with which the draft model reads it; by default, a token is
    the word of the same number. Raises `ValueError` if two words are the same token, or a spelling has no such word.
    """

    def __init__(self, token_ids: Sequence[int], spellings: Sequence[Sequence[int]] = ...) -> None: ...
    def __len__(self) -> int: ...
    def spell(self, token: int) -> list[int]:
        """The words with which the draft model reads a token."""
    @property
    def token_ids(self) -> list[int]: ...

class Head:
    """
    A compiled head. `token_ids` `[words]`: the token that each of its words is. Raises `ValueError` if they are not
    one for each word.
    """

    def __init__(
        self, paged_model: PagedModel, token_ids: Sequence[int], stop_classifier: Sequence[float] | None = None
    ) -> None: ...
    @property
    def token_ids(self) -> list[int]: ...

class Exit:
    """A head that reads the hidden states after a segment, which is not the last one."""

    def __init__(self, head: Head, segment: int) -> None: ...

class ProposerParams:
    """
    A proposer of a call, one of `proposer_names()`. Arguments that it does not need may be omitted.

    `model`: another model that drafts; `vocabulary`: the tokens of its first logits, by default all of them; `head`: a
    head of the target; `segment`: the segment after which the head reads; `options`: numbers by name, such as
    `max_matching_ngram_size` of `"prompt_lookup"`; `memory`: the name of its observations, by default one that holds
    for this process.
    """

    def __init__(
        self,
        name: str,
        *,
        model: PagedModel | None = None,
        vocabulary: DraftVocabulary | None = None,
        head: Head | None = None,
        segment: int = 0,
        options: Mapping[str, float] = ...,
        memory: str = "",
    ) -> None: ...
    @property
    def name(self) -> str: ...

def proposer_names() -> list[str]: ...
def lookahead_names() -> list[str]: ...

class SpeculationParams:
    """How to speculate; by default not at all. `proposers`: in order of preference."""

    proposers: list[ProposerParams]
    assistant_confidence_threshold: float
    lookahead: str
    num_assistant_tokens: int

class SpeculationMemory:
    """What proposers have learned over calls. A new one knows nothing."""

    def forget_texts(self) -> None:
        """Forgets the texts of earlier requests, and keeps the corpus and what is known about acceptance."""

    def add_to_corpus(self, tokens: Sequence[int]) -> None:
        """Adds a text from which the requests of all scopes draft, and which is never forgotten."""

    def restore(self, name: str, values: np.ndarray) -> None:
        """
        Replaces a table of `observations`. Raises `ValueError` if the values cannot be observations, or have another
        shape than a table that exists.
        """

    @property
    def observations(self) -> dict[str, np.ndarray]:
        """
        What is known about acceptance, by draft source: float64 `[contexts, positions, 2]`, the weights of accepted
        and of all observations.
        """

    @property
    def text_tokens(self) -> int:
        """The number of tokens of earlier requests that it remembers."""

class EarlyExitParams:
    """
    When tokens leave early. `exits`: in order of depth; `thresholds` `[exits]`: an infinite one lets nothing leave;
    `weights` `[exits][features]`, `bias` `[exits]`: of a criterion that has learned some.
    """

    exits: list[Exit]
    criterion: str
    thresholds: list[float]
    weights: list[list[float]]
    bias: list[float]
    prefill: bool
    copy_kv: bool

class SequenceRequest:
    """
    One output sequence: `prompt` has at least one token; `seed` is that of its random streams; texts of requests with
    the same `draft_scope` may be drafts for each other; requests with the same `cache_salt` may share KV blocks;
    `logprobs`: for how many of the most probable tokens events have the logarithms of probabilities.
    """

    prompt: list[int]
    logits: LogitsParams
    max_new_tokens: int
    eos_token_ids: list[int]
    seed: int
    draft_scope: str
    cache_salt: str
    logprobs: int | None

class FinishReason:
    NONE: FinishReason
    LENGTH: FinishReason
    STOP: FinishReason
    CALLBACK: FinishReason
    CANCELLED: FinishReason
    DEADLINE: FinishReason
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> int: ...

class ProposerStats:
    @property
    def name(self) -> str: ...
    @property
    def proposed(self) -> int: ...
    @property
    def accepted(self) -> int: ...
    @property
    def forwards(self) -> int: ...

class Stats:
    """Of one call; see `speculative.GenerationStats`. Times are wall clock seconds."""

    @property
    def sequences(self) -> int: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int:
        """Prompt tokens that were found in the prefix cache."""
    @property
    def tokens(self) -> int: ...
    @property
    def target_forwards(self) -> int: ...
    @property
    def prefill_forwards(self) -> int: ...
    @property
    def verifications(self) -> int: ...
    @property
    def drafted_verifications(self) -> int: ...
    @property
    def accepted_histogram(self) -> list[int]: ...
    @property
    def exit_histogram(self) -> list[tuple[int, int]]:
        """(segment, number of tokens that left after it); the last segment is the whole model."""
    @property
    def proposers(self) -> list[ProposerStats]: ...
    @property
    def total_seconds(self) -> float: ...
    @property
    def prefill_seconds(self) -> float: ...
    @property
    def propose_seconds(self) -> float: ...
    @property
    def run_seconds(self) -> float: ...
    @property
    def exit_head_seconds(self) -> float: ...
    @property
    def decide_seconds(self) -> float: ...
    @property
    def time_to_first_token(self) -> float: ...

class GenerationResult:
    @property
    def tokens(self) -> list[list[int]]:
        """Those generated, for each request."""
    @property
    def finish_reasons(self) -> list[FinishReason]: ...
    @property
    def stats(self) -> Stats: ...

class Call:
    """The sequences of one call. `stats` are complete when the call is closed."""

    @property
    def id(self) -> int:
        """Unique in the process."""
    @property
    def stats(self) -> Stats: ...

class Event:
    """What happened to a call. `row`: the index of the sequence; `None` for `CLOSED`."""

    class Kind:
        TOKENS: Event.Kind
        """Tokens were appended to a sequence."""
        DECIDE: Event.Kind
        """The next token of a sequence waits for `DecodeLoop.answer`."""
        CLOSED: Event.Kind
        """The call has ended."""
        @property
        def name(self) -> str: ...
        @property
        def value(self) -> int: ...

    @property
    def call(self) -> Call: ...
    @property
    def kind(self) -> Event.Kind: ...
    @property
    def row(self) -> int | None: ...
    @property
    def tokens(self) -> list[int]: ...
    @property
    def logprobs(self) -> list[tuple[float, list[tuple[int, float]]]]:
        """
        For each of `tokens`, if the request wants them: the natural logarithm of the probability that the model gave
        it, before the logits processors, and the most probable tokens with theirs.
        """
    @property
    def finish_reason(self) -> FinishReason:
        """Of `TOKENS`: why the sequence has ended; `NONE` if it goes on."""
    @property
    def error(self) -> str | None:
        """Of `CLOSED`: what went wrong."""

class Outbox:
    """The events of one or more calls."""

    def __init__(self) -> None: ...
    def take(self, timeout: float) -> list[Event]:
        """All events so far. Waits for the first one, but not longer than `timeout` seconds."""

class LoopStats:
    """Of a decode loop since it was made. `running` and `waiting`: sequences at present."""

    @property
    def running(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def tokens(self) -> int: ...
    @property
    def preemptions(self) -> int:
        """How often a sequence gave its KV blocks back, because there was no room for an older one."""
    @property
    def prefix_queries(self) -> int:
        """Tokens that were looked for in the prefix cache."""
    @property
    def prefix_hits(self) -> int:
        """Tokens that were found there."""
    @property
    def used_blocks(self) -> int:
        """Blocks of the KV cache that sequences use, after the latest step."""

class DecodeLoop:
    """
    Generates in a thread of its own. Calls come and go between steps, and all of them share the passes.

    `max_batch_tokens`: the most prompt tokens in one pass; `max_running`: the most sequences that share a pass. Both
    are at least 1.
    """

    def __init__(self, target: PagedModel, max_batch_tokens: int, max_running: int = ...) -> None: ...
    def generate(
        self,
        requests: Sequence[SequenceRequest],
        speculation: SpeculationParams,
        memory: SpeculationMemory | None = None,
        process_logits: Callable[[int, npt.NDArray[np.int64], npt.NDArray[np.float32]], None] | None = None,
        should_stop: Callable[[int, npt.NDArray[np.int64]], bool] | None = None,
        on_tokens: Callable[[int, list[int]], None] | None = None,
        early_exit: EarlyExitParams | None = None,
        forced: Callable[[int, npt.NDArray[np.int64]], list[int]] | None = None,
        count_allowed: Callable[[int, npt.NDArray[np.int64], list[int]], int] | None = None,
    ) -> GenerationResult:
        """
        Generates all sequences together. Hooks get the index of the sequence; an exception in one ends the call.

        `memory`: what proposers have learned, and learn now; without one, that is lost. `process_logits`: changes the
        logits, float32 `[vocab]`, in place; it gets the tokens so far, int64 `[length]`. `should_stop`: asked after
        every token. `on_tokens`: gets those that have come. `forced`: the tokens that it expects next, asked after
        every step. `count_allowed`: how many tokens of a draft could be accepted; it is called in the thread of the
        loop, so it has to be fast.

        Raises `ValueError` for an empty prompt, a token outside the vocabulary, speculation together with
        `early_exit`, or parameters that do not fit the model, and `RuntimeError` if logits are NaN.
        """

    def submit(
        self,
        requests: Sequence[SequenceRequest],
        speculation: SpeculationParams,
        outbox: Outbox,
        memory: SpeculationMemory | None = None,
        callbacks: bool = False,
        early_exit: EarlyExitParams | None = None,
        max_time: float | None = None,
        count_allowed: Callable[[int, npt.NDArray[np.int64], list[int]], int] | None = None,
    ) -> Call:
        """
        Starts a call, whose events go to `outbox`. With `callbacks`, each token waits for `answer`. After `max_time`
        seconds, its sequences end. Raises as `generate` does; parameters that do not fit the model are the `error` of
        its last event.
        """
    def cancel(self, call: Call) -> None:
        """Ends a call before its next step. Its last event comes as always."""
    def answer(
        self,
        event: Event,
        process_logits: Callable[[int, npt.NDArray[np.int64], npt.NDArray[np.float32]], None] | None = None,
        should_stop: Callable[[int, npt.NDArray[np.int64]], bool] | None = None,
        forced: Callable[[int, npt.NDArray[np.int64]], list[int]] | None = None,
    ) -> None:
        """
        Decides the next tokens of a sequence after its event `DECIDE`, in this thread. Raises what the callbacks
        raise; the call is then cancelled. Raises `ValueError` for another event, or one that was answered before.
        """
    @property
    def stats(self) -> LoopStats: ...

class CachedSequence:
    """One sequence in the cache of a model or head, step by step."""

    def __init__(self, model: PagedModel) -> None: ...
    def forward(self, ids: Sequence[int], hidden_states: npt.ArrayLike | None = None) -> npt.NDArray[np.float32]:
        """
        `hidden_states`: float32 `[tokens, input_hidden_size]`, for a model that takes some. Returns the logits,
        `[tokens, vocab_size]`.
        """
    @staticmethod
    def forward_together(sequences: Sequence[CachedSequence], ids: Sequence[int]) -> npt.NDArray[np.float32]:
        """One token of each of several sequences of a model, in one pass. Returns the logits, `[n, vocab_size]`."""
    @property
    def hidden_states(self) -> npt.NDArray[np.float32]:
        """Of the latest pass, `[tokens, hidden_size]`."""
    def rollback(self, length: int) -> None: ...
    def __len__(self) -> int: ...

class DraftedSequence:
    """A draft head at work on one sequence, whose tokens and hidden states come from the caller."""

    def __init__(
        self, head: Head, target: PagedModel, logits: LogitsParams, seed: int = 0, max_batch_tokens: int = 1024
    ) -> None: ...
    def append(self, ids: Sequence[int], hidden_states: npt.ArrayLike) -> None:
        """`hidden_states`: float32 `[rows, input_hidden_size]`, of all tokens so far that had none, but the last."""
    def propose(self, tokens: int) -> tuple[list[int], npt.NDArray[np.float32]]:
        """The draft, and the distributions it was drawn from, `[tokens, vocab_size]`; `[0, vocab_size]` if greedy."""

# ---- encoders ----------------------------------------------------------------------------------------------------

def answer_names() -> list[str]: ...

class EncoderExit:
    """A head that reads the hidden states after a segment, which is not the last one."""

    def __init__(self, head: ov.CompiledModel, segment: int) -> None: ...

class EncoderSpec:
    """
    What an encoder is made of. `segments`, `exits`: in order of depth; `sequence_inputs`: those whose dimension 1 is a
    sequence; `answer`: how outputs are judged, one of `answer_names()`.
    """

    segments: list[ov.CompiledModel]
    exits: list[EncoderExit]
    sequence_inputs: list[str]
    hidden_states_are_sequences: bool
    outputs_are_sequences: bool
    answer: str

class Encoder:
    """Raises `ValueError` if the parts of the spec do not fit each other."""

    def __init__(self, spec: EncoderSpec) -> None: ...
    @property
    def num_segments(self) -> int: ...
    @property
    def num_exits(self) -> int: ...
    @property
    def inputs(self) -> list[str]: ...
    @property
    def outputs(self) -> list[str]: ...

class EncoderParams:
    """When samples leave; see `EarlyExitParams`. `deadline_seconds`: from the beginning of the run, or infinite."""

    criterion: str
    thresholds: list[float]
    deadline_seconds: float
    weights: list[list[float]]
    bias: list[float]

class EncoderResult:
    """What became of a sample; `index`: in the order in which samples came, `exit`: `num_exits` at the end."""

    @property
    def index(self) -> int: ...
    @property
    def exit(self) -> int: ...
    @property
    def confidence(self) -> float: ...
    @property
    def outputs(self) -> list[npt.NDArray[np.float32]]:
        """Those of the model, without the dimension of samples."""

class EncoderStats:
    """`[num_segments]` each, but `exits`, `[num_exits + 1]`, and the numbers."""

    @property
    def rows(self) -> list[int]: ...
    @property
    def passes(self) -> list[int]: ...
    @property
    def places(self) -> list[int]: ...
    @property
    def exits(self) -> list[int]: ...
    @property
    def out_of_time(self) -> int: ...
    @property
    def segment_seconds(self) -> list[float]: ...
    @property
    def head_seconds(self) -> float: ...
    @property
    def total_seconds(self) -> float: ...

class EncoderRun:
    """Samples on their way through an encoder. Raises `ValueError` if the parameters do not fit it."""

    def __init__(self, encoder: Encoder, params: EncoderParams) -> None: ...
    def push(self, inputs: Mapping[str, Any]) -> None:
        """
        Takes samples in. `inputs`: `openvino.Tensor` by name, `[samples, ...]`, which live until the samples have left
        the first segment. Raises `ValueError` if one is missing or of another shape than the others.
        """
    def run(self, batch_size: int, max_waiting: int, finish: bool) -> list[EncoderResult]:
        """
        Runs batches of `batch_size`, the deepest first. At most `max_waiting` samples arrive after a sample that waits
        for others; with `finish`, all samples run to their end. Returns the samples that have left.
        """
    @property
    def waiting(self) -> int: ...
    @property
    def stats(self) -> EncoderStats: ...
