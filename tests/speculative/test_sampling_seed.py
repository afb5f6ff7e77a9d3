"""What the random numbers of a sequence depend on: the seed and its place in the batch, nothing else."""

import pytest
import torch
from transformers import set_seed

from tests.speculative.tiny_vocabulary import PROMPT


PROMPTS = torch.tensor([PROMPT])
MODES = {
    "off": {"speculation": "off"},
    "prompt_lookup": {"prompt_lookup_num_tokens": 4},
    "suffix": {"speculation": "suffix", "num_assistant_tokens": 4},
    "auto": {"speculation": "auto"},
    "draft_model": {"assistant_model": "random", "num_assistant_tokens": 3},
    "draft_head": {"speculation": "draft_head", "num_assistant_tokens": 3},
}


@pytest.fixture
def sample(tiny_vocabulary_models):
    def get(prompts=PROMPTS, mode="off", **arguments):
        arguments = {**MODES[mode], "max_new_tokens": 40, "do_sample": True, "top_k": 0, **arguments}
        if "assistant_model" in arguments:
            arguments["assistant_model"] = tiny_vocabulary_models.drafts["random"]
        headed = tiny_vocabulary_models.headed["all_words"]
        model = headed if mode == "draft_head" else tiny_vocabulary_models.target
        return model.generate(prompts, **arguments)[:, prompts.shape[1] :].tolist()

    return get


@pytest.mark.parametrize("mode", MODES)
def test_the_same_seed_gives_the_same_tokens(mode, sample):
    first = sample(mode=mode, seed=7)
    assert all(sample(mode=mode, seed=7) == first for _ in range(5))
    assert sample(mode=mode, seed=8) != first


@pytest.mark.parametrize("mode", ["prompt_lookup", "suffix", "auto"])
def test_lookup_changes_no_token(mode, sample, tiny_vocabulary_models):
    """Whatever was learned on earlier calls and however long the drafts: certain proposals cost no random number."""
    proposed = 0
    for seed in range(10):
        tokens = sample(mode=mode, seed=seed, temperature=0.5)
        proposed += tiny_vocabulary_models.target.last_stats.proposed
        assert tokens == sample(mode="off", seed=seed, temperature=0.5)
    assert proposed > 0 or mode == "auto"


@pytest.mark.parametrize("mode", ["off", "prompt_lookup"])
def test_set_seed_works_as_in_transformers(mode, sample):
    runs = []
    for seed in (1, 1, 2):
        set_seed(seed)
        runs.append([sample(mode=mode), sample(mode=mode)])
    assert runs[0] == runs[1] != runs[2]
    assert runs[0][0] != runs[0][1]


def test_a_seed_leaves_the_generator_of_torch_alone(sample):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    sample(seed=1)
    assert torch.rand(1) == expected


def test_greedy_takes_no_random_number(sample):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    sample(do_sample=False)
    assert torch.rand(1) == expected


@pytest.mark.parametrize("mode", ["off", "prompt_lookup", "draft_model", "draft_head"])
def test_neighbours_do_not_matter(mode, sample):
    first, second, third = PROMPTS, torch.tensor([[4, 5, 6, 7, 4, 5, 6, 7]]), torch.tensor([[9, 9, 9, 8, 8, 8, 7, 7]])
    pairs = [sample(torch.cat([first, other]), mode=mode, seed=5) for other in (second, third)]
    assert pairs[0][0] == pairs[1][0] == sample(first, mode=mode, seed=5)[0]
    assert pairs[0][1] != pairs[1][1]


def test_sequences_of_one_prompt_differ(sample):
    assert len({tuple(row) for row in sample(seed=0, num_return_sequences=16)}) == 16


@pytest.mark.parametrize("seed", [0, 1, 2**63, 2**64 - 1])
def test_every_64_bit_seed_is_accepted(seed, sample):
    assert sample(seed=seed) == sample(seed=seed)


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5, "1"])
def test_other_seeds_are_refused(seed, sample):
    with pytest.raises(ValueError, match="`seed`"):
        sample(seed=seed)
