"""How transformers' arguments and ours become a SpeculationConfig."""

import numpy as np
import pytest

from optimum_dynexec.speculative import SpeculationConfig
from optimum_dynexec.speculative.arguments import SpeculationArguments
from optimum_dynexec.speculative.config import AUTO_NUM_TOKENS
from optimum_dynexec.speculative.proposers.prompt_lookup import AUTO_NGRAM_SIZE, PromptLookup


def resolve(speculation=None, has_assistant=False, has_draft_head=False, **given):
    return SpeculationConfig.resolve(
        SpeculationArguments(speculation, has_assistant=has_assistant, **given), has_draft_head
    )


def sources(config):
    return "prompt_lookup" in config.names, "draft_model" in config.names, config.enabled


@pytest.mark.parametrize(
    ("arguments", "prompt_lookup", "draft_model", "lookahead"),
    [
        ({}, True, False, "auto"),
        ({"speculation": "auto"}, True, False, "auto"),
        ({"speculation": "auto", "has_assistant": True}, True, True, "auto"),
        ({"has_assistant": True}, False, True, "constant"),
        ({"speculation": "draft_model", "has_assistant": True}, False, True, "constant"),
        ({"has_assistant": True, "prompt_lookup_num_tokens": 3}, True, True, "constant"),
        ({"prompt_lookup_num_tokens": 3}, True, False, "constant"),
        ({"speculation": "prompt_lookup"}, True, False, "constant"),
        ({"speculation": "prompt_lookup", "num_assistant_tokens_schedule": "heuristic"}, True, False, "heuristic"),
        ({"speculation": "auto", "num_assistant_tokens_schedule": "constant"}, True, False, "constant"),
    ],
)
def test_sources_and_lookahead(arguments, prompt_lookup, draft_model, lookahead):
    config = resolve(**arguments)
    assert sources(config) == (prompt_lookup, draft_model, True)
    assert config.lookahead == lookahead


@pytest.mark.parametrize(
    ("arguments", "prompt_lookup", "draft_model", "draft_head", "lookahead", "length"),
    [
        ({}, True, False, True, "auto", AUTO_NUM_TOKENS),
        ({"has_assistant": True, "speculation": "auto"}, True, True, True, "auto", AUTO_NUM_TOKENS),
        # Whoever asks for one source gets that one.
        ({"prompt_lookup_num_tokens": 3}, True, False, False, "constant", 3),
        ({"has_assistant": True}, False, True, False, "constant", 20),
        ({"speculation": "draft_head"}, False, False, True, "auto", AUTO_NUM_TOKENS),
        ({"speculation": "draft_head", "num_assistant_tokens": 4}, False, False, True, "constant", 4),
        (
            {"speculation": "draft_head", "num_assistant_tokens": 4, "num_assistant_tokens_schedule": "heuristic"},
            *(False, False, True, "heuristic", 4),
        ),
        (
            {"speculation": "draft_head", "num_assistant_tokens_schedule": "constant"},
            *(False, False, True, "constant", 10),
        ),
        (
            {"speculation": "draft_head", "num_assistant_tokens": 4, "prompt_lookup_num_tokens": 6},
            *(True, False, True, "constant", 4),
        ),
    ],
)
def test_with_a_draft_head(arguments, prompt_lookup, draft_model, draft_head, lookahead, length):
    config = resolve(has_draft_head=True, **arguments)
    expected = {"prompt_lookup": prompt_lookup, "draft_model": draft_model, "draft_head": draft_head}
    assert config.names == {name for name, used in expected.items() if used}
    assert (config.lookahead, config.num_assistant_tokens, config.enabled) == (lookahead, length, True)


@pytest.mark.parametrize(
    ("arguments", "layers"),
    [
        ({}, (1, 3)),
        ({"speculation": "exit_heads"}, (1, 3)),
        # Only "auto" chooses between heads.
        ({"speculation": "exit_heads", "num_assistant_tokens": 4}, (1,)),
        ({"assistant_early_exit": 4}, (3,)),
        ({"assistant_early_exit": 4, "speculation": "auto"}, (3,)),
    ],
)
def test_exit_heads_that_draft(arguments, layers):
    assert SpeculationConfig.resolve(SpeculationArguments(**arguments), False, [1, 3]).exit_layers == layers


@pytest.mark.parametrize("has_assistant", [False, True])
def test_off_is_off_whatever_else_is_given(has_assistant):
    config = resolve("off", has_assistant, prompt_lookup_num_tokens=3, num_assistant_tokens=5)
    assert sources(config) == (False, False, False)


@pytest.mark.parametrize(
    ("arguments", "length"),
    [
        ({}, AUTO_NUM_TOKENS),
        ({"num_assistant_tokens": 4}, 4),
        ({"prompt_lookup_num_tokens": 4}, 4),
        ({"prompt_lookup_num_tokens": 4, "num_assistant_tokens": 6}, 4),
        ({"has_assistant": True, "prompt_lookup_num_tokens": 4, "num_assistant_tokens": 6}, 6),
        ({"has_assistant": True, "prompt_lookup_num_tokens": 4}, 4),
        ({"has_assistant": True}, 20),
        ({"speculation": "prompt_lookup"}, 10),
    ],
)
def test_draft_length(arguments, length):
    assert resolve(**arguments).num_assistant_tokens == length


@pytest.mark.parametrize(
    ("arguments", "threshold"),
    [
        ({"has_assistant": True}, 0.4),
        ({"has_assistant": True, "assistant_confidence_threshold": 0.0}, 0.0),
        ({"has_assistant": True, "assistant_confidence_threshold": 1}, 1.0),
        ({}, 0.0),
    ],
)
def test_confidence_threshold(arguments, threshold):
    assert resolve(**arguments).assistant_confidence_threshold == threshold


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        ({}, AUTO_NGRAM_SIZE),
        ({"prompt_lookup_num_tokens": 3}, 2),
        ({"prompt_lookup_num_tokens": 3, "max_matching_ngram_size": 5}, 5),
        ({"speculation": "prompt_lookup", "num_assistant_tokens_schedule": "auto"}, AUTO_NGRAM_SIZE),
    ],
)
def test_ngram_size(arguments, size):
    (lookup,) = resolve(**arguments).of_kind(PromptLookup)
    assert lookup.max_matching_ngram_size == size


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"speculation": "bogus"}, "`speculation`"),
        ({"speculation": "AUTO"}, "`speculation`"),
        ({"speculation": 3}, "`speculation`"),
        ({"speculation": ["auto"]}, "`speculation`"),
        ({"speculation": "early_exit"}, "`speculation='early_exit'` is now called 'exit_heads'"),
        ({"speculation": "draft_model"}, "`assistant_model`"),
        ({"speculation": "prompt_lookup", "has_assistant": True}, "`assistant_model`"),
        ({"speculation": "draft_head"}, "train-heads"),
        ({"speculation": "draft_head", "has_draft_head": True, "has_assistant": True}, "`assistant_model`"),
        ({"speculation": "draft_head", "has_draft_head": True, "num_assistant_tokens": 0}, "num_assistant_tokens"),
        ({"num_assistant_tokens": 0}, "num_assistant_tokens"),
        ({"num_assistant_tokens": -1}, "num_assistant_tokens"),
        ({"num_assistant_tokens": 2.0}, "num_assistant_tokens"),
        ({"num_assistant_tokens": True}, "num_assistant_tokens"),
        ({"num_assistant_tokens": "x"}, "num_assistant_tokens"),
        ({"num_assistant_tokens": [3]}, "num_assistant_tokens"),
        ({"num_assistant_tokens": float("nan")}, "num_assistant_tokens"),
        ({"num_assistant_tokens": float("inf")}, "num_assistant_tokens"),
        ({"num_assistant_tokens": 1025}, "num_assistant_tokens"),
        ({"num_assistant_tokens": 10**30}, "num_assistant_tokens"),
        ({"prompt_lookup_num_tokens": 0}, "prompt_lookup_num_tokens"),
        ({"max_matching_ngram_size": 0}, "max_matching_ngram_size"),
        ({"max_matching_ngram_size": 65}, "max_matching_ngram_size"),
        ({"assistant_confidence_threshold": 2.0}, "assistant_confidence_threshold"),
        ({"assistant_confidence_threshold": -0.1}, "assistant_confidence_threshold"),
        ({"assistant_confidence_threshold": float("nan")}, "assistant_confidence_threshold"),
        ({"assistant_confidence_threshold": "x"}, "assistant_confidence_threshold"),
        ({"num_assistant_tokens_schedule": "sometimes"}, "num_assistant_tokens_schedule"),
        ({"num_assistant_tokens": np.float64(3)}, "num_assistant_tokens"),
        ({"assistant_confidence_threshold": np.float32("nan")}, "assistant_confidence_threshold"),
        ({"num_assistant_tokens_schedule": []}, "num_assistant_tokens_schedule"),
    ],
)
def test_what_is_not_accepted_is_named(arguments, named):
    with pytest.raises(ValueError, match=named):
        resolve(**arguments)
