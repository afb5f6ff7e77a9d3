"""Sampled tokens of the reference have the distribution of the model; a rule with one mistake is found out."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import LogitsProcessorList

from optimum_dynexec.speculative import SpeculationConfig
from optimum_dynexec.speculative.proposers.draft_model import DraftModel
from optimum_dynexec.speculative.proposers.prompt_lookup import PromptLookup
from optimum_dynexec.torch_backend import decoding
from optimum_dynexec.torch_backend.proposers import draft_model
from optimum_dynexec.torch_backend.verification import draw, verify
from tests.speculative.chi_square import P_VALUE, p_value
from tests.speculative.tiny_vocabulary import PROMPT, VOCABULARY, conditionals, joint, save_tiny_vocabulary, sharpened


SAMPLES = 5000
LENGTH = 3


class TableDecoder:
    """Stands for a model: it looks up what the model says, which is known for the first three tokens."""

    def __init__(self, tables: list[np.ndarray], watched=()):
        self.model = self
        self.logits = [torch.from_numpy(np.log(table)) for table in tables]
        self.weight = torch.zeros(VOCABULARY, 1)
        self.cached = 0

    def get_output_embeddings(self):
        return self

    def run(self, tokens: list[int]) -> torch.Tensor:
        rows = []
        for end in range(self.cached + 1, len(tokens) + 1):
            new = tokens[len(PROMPT) : end]
            known = end >= len(PROMPT) and len(new) < LENGTH
            rows.append(self.logits[len(new)][tuple(new)] if known else torch.zeros(VOCABULARY))
        self.cached = len(tokens)
        return torch.stack(rows)

    def rollback(self, length: int) -> None:
        self.cached = min(self.cached, length)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """What the model says, and what its drafts say: one that is too sure, and one of other opinions."""
    model = save_tiny_vocabulary(tmp_path_factory.mktemp("tiny-vocabulary"))
    unembedding = model.lm_head.weight.detach().numpy()
    return {
        "target": conditionals(model, {}),
        "sharp": conditionals(model, {}, sharpened(unembedding)),
        "other": conditionals(model, {}, np.roll(unembedding, 3, axis=0)),
    }


@pytest.fixture
def counts(tables, monkeypatch):
    """`counts(draft)`: how often each second and third token came, `[VOCABULARY] * 2`, and the acceptance rate."""
    monkeypatch.setattr(draft_model, "Decoder", TableDecoder)

    def get(draft: str, samples: int = SAMPLES):
        lookup = draft == "prompt_lookup"
        config = SpeculationConfig(
            (PromptLookup() if lookup else DraftModel(),), lookahead="constant", num_assistant_tokens=3
        )
        generator = torch.Generator().manual_seed(0)
        seen, did = np.zeros([VOCABULARY] * 2, np.int64), decoding.Counts()
        for _ in range(samples):
            sequence = decoding.Sequence(
                padding=[],
                prompt=PROMPT,
                max_new_tokens=LENGTH + 1,
                do_sample=True,
                processors=LogitsProcessorList(),
                should_stop=lambda _: False,
                on_token=lambda _: None,
                generator=generator,
            )
            decoding.speculate(sequence, TableDecoder(tables["target"]), config, {}, tables.get(draft), did)
            _, second, third, _ = sequence.tokens[len(PROMPT) :]
            seen[second, third] += 1
        (proposer,) = did.proposers.values()
        return seen, proposer["accepted"] / proposer["proposed"]

    return get


@pytest.mark.parametrize("draft", ["prompt_lookup", "sharp", "other", "target"])
def test_tokens_that_were_drafted_have_the_distribution_of_the_model(draft, counts, tables):
    seen, accepted = counts(draft)
    assert seen.sum() == SAMPLES
    assert p_value(seen, joint(tables["target"]).sum(0)) > P_VALUE
    assert accepted == 1 if draft == "target" else 0.02 < accepted < 0.98


def _always_accepts(p, q, token, generator):
    return token, True


def _inverted(p, q, token, generator):
    return verify(q, p, token, generator)


def _no_residual(p, q, token, generator):
    found, accepted = verify(p, q, token, generator)
    return (found, True) if accepted else (draw(p, generator), False)


def _residual_of_the_draft(p, q, token, generator):
    if torch.rand((), generator=generator) < p[token] / q[token]:
        return token, True
    return draw((q - p).clamp(min=0.0), generator), False


MUTANTS: dict[str, Callable] = {
    "always_accepts": _always_accepts,
    "inverted": _inverted,
    "no_residual": _no_residual,
    "residual_of_the_draft": _residual_of_the_draft,
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_wrong_rule_is_found_out(mutant, counts, tables, monkeypatch):
    monkeypatch.setattr(decoding, "verify", MUTANTS[mutant])
    seen, _ = counts("sharp")
    assert p_value(seen, joint(tables["target"]).sum(0)) < P_VALUE
