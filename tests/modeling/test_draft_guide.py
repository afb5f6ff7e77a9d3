"""Guides make drafts cheaper, and change no token: forced tokens are drafts, forbidden ones are not verified."""

import random

import numpy as np
import pytest
import torch
from transformers import GenerationConfig, LogitsProcessor

from tests.tiny_models import TEXT


class Pattern(LogitsProcessor):
    """Allows one token at most positions, and those below 40 at the others."""

    def __init__(self, prompt_length: int, period: int = 4):
        self.prompt_length, self.period = prompt_length, period
        self.asked: list[list[int]] = []

    def token(self, position: int) -> int | None:
        """The token that must come; `None` if one may be chosen."""
        return None if position % self.period == 0 else random.Random(position).randrange(50, 300)

    def __call__(self, input_ids, scores):
        position = input_ids.shape[1] - self.prompt_length
        only = self.token(position)
        allowed = torch.zeros(scores.shape[1], dtype=torch.bool)
        allowed[slice(40) if only is None else only] = True
        return scores.masked_fill(~allowed, -torch.inf)


class GuidedPattern(Pattern):
    """The same, which says what it will do."""

    def forced_tokens(self, input_ids: np.ndarray) -> list[int]:
        position, forced = len(input_ids) - self.prompt_length, []
        while (token := self.token(position)) is not None:
            forced.append(token)
            position += 1
        return forced

    def count_allowed(self, input_ids: np.ndarray, draft: list[int]) -> int:
        self.asked.append(list(draft))
        for i, token in enumerate(draft):
            only = self.token(len(input_ids) - self.prompt_length + i)
            if (token >= 40) if only is None else (token != only):
                return i
        return len(draft)


@pytest.fixture(scope="module")
def model(tiny_model):
    return tiny_model("llama")


@pytest.fixture(scope="module")
def ids(encode):
    return encode(TEXT[0])["input_ids"]


def generate(model, ids, processor, **kwargs):
    arguments = {"do_sample": False, "max_new_tokens": 41, "eos_token_id": None, "pad_token_id": 0, **kwargs}
    tokens = model.generate(ids, logits_processor=[processor], **arguments)[0, ids.shape[1] :].tolist()
    return tokens, model.last_stats


@pytest.mark.parametrize("speculation", ["auto", "suffix", "prompt_lookup"])
@pytest.mark.parametrize("do_sample", [False, True])
def test_forced_tokens_are_drafts_and_change_nothing(model, ids, speculation, do_sample):
    arguments = {"do_sample": do_sample, "seed": 3, "temperature": 3.0} if do_sample else {}
    expected, plain = generate(model, ids, Pattern(ids.shape[1]), speculation="off", **arguments)
    # A scope of its own: in earlier texts, suffix drafts would find longer drafts.
    arguments |= {"draft_scope": f"{speculation}, {do_sample}"}
    tokens, stats = generate(model, ids, GuidedPattern(ids.shape[1]), speculation=speculation, **arguments)
    assert tokens == expected
    for position, token in enumerate(tokens):
        forced = Pattern(0).token(position)
        assert token == forced if forced is not None else token < 40
    by_name = {proposer.name: proposer for proposer in stats.proposers}
    assert by_name["forced_tokens"].accepted == by_name["forced_tokens"].proposed > 0
    assert plain.proposers == []
    # Three of four tokens are forced.
    assert stats.target_forwards <= 0.6 * plain.target_forwards


def test_without_speculation_nothing_is_drafted(model, ids):
    processor = GuidedPattern(ids.shape[1])
    _, stats = generate(model, ids, processor, speculation="off")
    assert stats.proposed == 0
    assert processor.asked == []


class Echo(Pattern):
    """Has the model write the prompt again and again, except that one token is another one."""

    def __init__(self, prompt: list[int]):
        super().__init__(len(prompt))
        self.text = list(prompt)
        self.text[5] = (self.text[5] + 1) % 40

    def token(self, position: int) -> int:
        return self.text[position % len(self.text)]


class GuidedEcho(Echo, GuidedPattern):
    """The same, which allows drafts, and forces nothing."""

    def forced_tokens(self, input_ids: np.ndarray) -> list[int]:
        return []


LOOKUP = {"prompt_lookup_num_tokens": 6, "num_assistant_tokens_schedule": "constant"}


def test_forbidden_draft_tokens_are_not_verified(model, ids):
    """Prompt lookup proposes what the prompt has, which is forbidden at one place."""
    prompt = ids[0].tolist()
    expected, without = generate(model, ids, Echo(prompt), **LOOKUP)
    assert without.proposed > without.accepted
    guide = GuidedEcho(prompt)
    tokens, stats = generate(model, ids, guide, **LOOKUP)
    assert tokens == expected
    assert guide.asked
    assert stats.proposed == stats.accepted > 0


def test_a_draft_that_was_drawn_at_random_may_not_lose_a_token(tiny_model, model, ids):
    """The first forbidden token stays, and is rejected by the rule of verification; what follows it does not."""
    prompt, lengths = ids[0].tolist(), []

    class Guide(GuidedEcho):
        def count_allowed(self, input_ids: np.ndarray, draft: list[int]) -> int:
            lengths.append(super().count_allowed(input_ids, draft))
            return lengths[-1]

    arguments = {"do_sample": True, "temperature": 2.0, "speculation": "draft_model", "num_assistant_tokens": 3}
    arguments |= {"num_assistant_tokens_schedule": "constant", "assistant_model": tiny_model("llama")}
    tokens, stats = generate(model, ids, Guide(prompt), seed=1, assistant_confidence_threshold=0.0, **arguments)
    assert tokens == [Echo(prompt).token(position) for position in range(len(tokens))]
    assert 0 in lengths
    assert stats.proposed == sum(min(length + 1, 3) for length in lengths)


def test_an_error_of_a_guide_ends_its_own_request_only(model, ids):
    class Fails(GuidedEcho):
        def count_allowed(self, input_ids: np.ndarray, draft: list[int]) -> int:
            raise KeyError("no such rule")

    prompt = ids[0].tolist()
    config = GenerationConfig(do_sample=False, max_new_tokens=30, eos_token_id=None, pad_token_id=0)
    with model.continuous_batching_context_manager(config) as manager:
        for name, guide in (("fails", Fails(prompt)), ("ends", GuidedEcho(prompt))):
            manager.add_request(prompt, name, logits_processor=[guide], **LOOKUP)
        results = [manager.get_result(name) for name in ("fails", "ends")]
    assert "no such rule" in results[0].error
    assert results[1].error is None
    assert results[1].generated_tokens == [Echo(prompt).token(position) for position in range(30)]
    with pytest.raises(KeyError, match="no such rule"):
        generate(model, ids, Fails(prompt), **LOOKUP)
