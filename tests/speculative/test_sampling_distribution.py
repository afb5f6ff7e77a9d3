"""Sampling with speculation has the distribution of sampling without: exactly, not nearly."""

import numpy as np
import pytest
import torch

from tests.speculative.chi_square import P_VALUE, p_value
from tests.speculative.tiny_vocabulary import PROMPT, SETTINGS, VOCABULARY, conditionals, joint


SAMPLES = 20_000
PER_CALL = 1000
# Long enough that the first three tokens fall into drafts, at their beginning, middle and end.
NEW_TOKENS = 5
NEUTRAL = {
    "temperature": 1.0,
    "top_k": VOCABULARY,
    "top_p": 1.0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
SOURCES = {
    "off": {"speculation": "off"},
    "prompt_lookup": {"prompt_lookup_num_tokens": 3},
    "same": {"assistant_model": "same", "num_assistant_tokens": 3, "assistant_confidence_threshold": 0.0},
    "sharp": {"assistant_model": "sharp", "num_assistant_tokens": 3, "assistant_confidence_threshold": 0.0},
    "random": {"assistant_model": "random", "num_assistant_tokens": 3, "assistant_confidence_threshold": 0.0},
    "draft_head": {"speculation": "draft_head", "head": "all_words", "num_assistant_tokens": 3},
    "draft_head_of_few_words": {"speculation": "draft_head", "head": "few_words", "num_assistant_tokens": 3},
    "exit": {
        "assistant_early_exit": 1,
        "head": "exit",
        "num_assistant_tokens": 3,
        "assistant_confidence_threshold": 0.0,
    },
    "exit_of_few_words": {
        "assistant_early_exit": 1,
        "head": "exit_of_few_words",
        "num_assistant_tokens": 3,
        "assistant_confidence_threshold": 0.0,
    },
    "draft_head_with_threshold": {
        "speculation": "draft_head",
        "head": "all_words",
        "num_assistant_tokens": 3,
        "assistant_confidence_threshold": 0.5,
    },
    "sharp_with_threshold": {"assistant_model": "sharp", "assistant_confidence_threshold": 0.6},
}
CASES = [
    (settings, source)
    for settings in SETTINGS
    for source in SOURCES
    if not source.endswith("threshold") or settings == "plain"
]


@pytest.fixture(scope="module")
def draw(tiny_vocabulary_models):
    """Samples on the engine: how often each three tokens came first, and what the calls did."""

    def get(settings, source):
        arguments = dict(SOURCES[source])
        if "assistant_model" in arguments:
            arguments["assistant_model"] = tiny_vocabulary_models.drafts[arguments["assistant_model"]]
        head = arguments.pop("head", None)
        model = tiny_vocabulary_models.target if head is None else tiny_vocabulary_models.headed[head]
        counts = np.zeros([VOCABULARY] * 3, np.int64)
        proposed = accepted = 0
        for seed in range(SAMPLES // PER_CALL):
            out = model.generate(
                torch.tensor([PROMPT]),
                do_sample=True,
                max_new_tokens=NEW_TOKENS,
                num_return_sequences=PER_CALL,
                seed=seed,
                # transformers' default would be 50, as good as none here, but checked against the vocabulary.
                **{"top_k": 0, **settings},
                **arguments,
            )
            np.add.at(counts, tuple(out[:, len(PROMPT) : len(PROMPT) + 3].T.numpy()), 1)
            proposed += model.last_stats.proposed
            accepted += model.last_stats.accepted
        return counts, proposed, accepted

    return get


@pytest.mark.parametrize(("settings", "source"), CASES)
def test_three_tokens_have_the_distribution_of_the_model(settings, source, draw, tiny_vocabulary_models):
    expected = joint(conditionals(tiny_vocabulary_models.torch, SETTINGS[settings]))
    counts, proposed, accepted = draw(SETTINGS[settings], source)
    assert counts.sum() == SAMPLES
    assert p_value(counts, expected) > P_VALUE
    if source == "off":
        assert proposed == 0
    elif source == "same":
        assert accepted == proposed > SAMPLES
    else:
        # Drafts were at work, and were not simply right.
        assert proposed > SAMPLES / 2
        assert 0.02 < accepted / proposed < 0.98


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_distributions_can_be_told_apart(settings, tiny_vocabulary_models):
    """The test above would notice if drafts were taken as they are, or the settings left out."""
    models = tiny_vocabulary_models
    expected = joint(conditionals(models.torch, SETTINGS[settings]))
    rng = np.random.default_rng(0)
    wrong = [joint(conditionals(models.torch, SETTINGS[settings], models.unembeddings["sharp"]))]
    # Without one of its settings, or without any.
    for name in SETTINGS[settings]:
        wrong.append(joint(conditionals(models.torch, {**SETTINGS[settings], name: NEUTRAL[name]})))
    wrong += [joint(conditionals(models.torch, other)) for name, other in SETTINGS.items() if name != settings]
    assert p_value(rng.multinomial(SAMPLES, expected.ravel() / expected.sum()), expected) > P_VALUE
    for distribution in wrong:
        samples = rng.multinomial(SAMPLES, distribution.ravel() / distribution.sum())
        assert p_value(samples, expected) < P_VALUE / 1000
