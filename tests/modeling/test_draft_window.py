"""An assistant model that reads only the last tokens of a text drafts worse, and changes no token."""

import pytest
import torch

from tests.tiny_models import TEXT


NEW_TOKENS = 24
LENGTHS = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": False}
LONG = TEXT[0] + " " + TEXT[1]


@pytest.mark.parametrize("name", ["llama", "opt", "bloom"])
@pytest.mark.parametrize("window", [1, 7, 4096])
def test_the_window_changes_no_token(name, window, tiny_model, encode):
    model = tiny_model(name)
    expected = model.generate(**encode(LONG, TEXT[1][:30]), **LENGTHS, speculation="off")
    for arguments in ({"num_assistant_tokens": 5}, {"speculation": "auto"}):
        found = model.generate(
            **encode(LONG, TEXT[1][:30]),
            **LENGTHS,
            assistant_model=model,
            draft_window=window,
            assistant_confidence_threshold=0.0,
            **arguments,
        )
        assert torch.equal(found, expected)
        if "speculation" not in arguments:
            assert model.last_stats.proposed > 0
            # A model guesses itself where it has read everything.
            assert (model.last_stats.acceptance_rate == 1.0) == (window == 4096)


@pytest.mark.parametrize("window", [0, -1, 2.5, "x"])
def test_a_window_has_tokens(window, tiny_model, encode):
    model = tiny_model("llama")
    with pytest.raises(ValueError, match="draft_window"):
        model.generate(**encode(LONG), assistant_model=model, draft_window=window)
