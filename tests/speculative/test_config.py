"""How transformers' arguments and ours become a SpeculationConfig."""

import numpy as np
import pytest

from optimum_dynexec.speculative import SpeculationConfig
from optimum_dynexec.speculative.arguments import SpeculationArguments
from optimum_dynexec.speculative.config import AUTO_NUM_TOKENS
from optimum_dynexec.speculative.proposers.prompt_lookup import AUTO_NGRAM_SIZE, PromptLookup
from optimum_dynexec.speculative.proposers.suffix import Suffix


def resolve(speculation=None, has_assistant=False, has_draft_head=False, **given):
    return SpeculationConfig.resolve(
        SpeculationArguments(speculation, has_assistant=has_assistant, **given), has_draft_head
    )


@pytest.mark.parametrize(
    ("arguments", "names", "lookahead"),
    [
        ({}, {"suffix"}, "auto"),
        ({"speculation": "auto"}, {"suffix"}, "auto"),
        ({"speculation": "auto", "has_assistant": True}, {"suffix", "draft_model"}, "auto"),
        ({"has_assistant": True}, {"draft_model"}, "constant"),
        ({"speculation": "draft_model", "has_assistant": True}, {"draft_model"}, "constant"),
        ({"has_assistant": True, "prompt_lookup_num_tokens": 3}, {"prompt_lookup", "draft_model"}, "constant"),
        ({"prompt_lookup_num_tokens": 3}, {"prompt_lookup"}, "constant"),
        ({"speculation": "prompt_lookup"}, {"prompt_lookup"}, "constant"),
        (
            {"speculation": "prompt_lookup", "num_assistant_tokens_schedule": "heuristic"},
            *({"prompt_lookup"}, "heuristic"),
        ),
        ({"speculation": "auto", "num_assistant_tokens_schedule": "constant"}, {"suffix"}, "constant"),
        ({"speculation": "auto", "prompt_lookup_num_tokens": 3}, {"suffix"}, "auto"),
        ({"speculation": "suffix"}, {"suffix"}, "auto"),
        ({"speculation": "suffix", "num_assistant_tokens": 4}, {"suffix"}, "constant"),
    ],
)
def test_sources_and_lookahead(arguments, names, lookahead):
    config = resolve(**arguments)
    assert (config.names, config.enabled, config.lookahead) == (names, True, lookahead)


@pytest.mark.parametrize(
    ("arguments", "names", "lookahead", "length"),
    [
        ({}, {"suffix", "draft_head"}, "auto", AUTO_NUM_TOKENS),
        (
            {"has_assistant": True, "speculation": "auto"},
            *({"suffix", "draft_model", "draft_head"}, "auto", AUTO_NUM_TOKENS),
        ),
        # Whoever asks for one source gets that one.
        ({"prompt_lookup_num_tokens": 3}, {"prompt_lookup"}, "constant", 3),
        ({"has_assistant": True}, {"draft_model"}, "constant", 20),
        ({"speculation": "draft_head"}, {"draft_head"}, "auto", AUTO_NUM_TOKENS),
        ({"speculation": "draft_head", "num_assistant_tokens": 4}, {"draft_head"}, "constant", 4),
        (
            {"speculation": "draft_head", "num_assistant_tokens": 4, "num_assistant_tokens_schedule": "heuristic"},
            *({"draft_head"}, "heuristic", 4),
        ),
        (
            {"speculation": "draft_head", "num_assistant_tokens_schedule": "constant"},
            *({"draft_head"}, "constant", 10),
        ),
        (
            {"speculation": "draft_head", "num_assistant_tokens": 4, "prompt_lookup_num_tokens": 6},
            *({"prompt_lookup", "draft_head"}, "constant", 4),
        ),
    ],
)
def test_with_a_draft_head(arguments, names, lookahead, length):
    config = resolve(has_draft_head=True, **arguments)
    assert (config.names, config.enabled) == (names, True)
    assert (config.lookahead, config.num_assistant_tokens) == (lookahead, length)


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
    assert (config.names, config.enabled) == (set(), False)


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
        ({"prompt_lookup_num_tokens": 3}, 2),
        ({"prompt_lookup_num_tokens": 3, "max_matching_ngram_size": 5}, 5),
        ({"speculation": "prompt_lookup", "num_assistant_tokens_schedule": "auto"}, AUTO_NGRAM_SIZE),
    ],
)
def test_ngram_size(arguments, size):
    (lookup,) = resolve(**arguments).of_kind(PromptLookup)
    assert lookup.max_matching_ngram_size == size


@pytest.mark.parametrize(("given", "size"), [({}, 64), ({"max_matching_ngram_size": 5}, 5)])
def test_length_of_the_suffix(given, size):
    (suffix,) = resolve(**given).of_kind(Suffix)
    assert suffix.max_matching_ngram_size == size


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
