"""The group size of dynamic quantization that a new export is given, where there is no data yet."""

import logging
from pathlib import Path

from ..directory.config import DECODER_TASK, DynExecConfig
from .group_size import choose_group, groups_have_effect, measure_groups, own_texts


logger = logging.getLogger(__name__)

# The logits that are compared are those of the model's own answers: a story, a fact, a calculation and a program.
PROMPTS = (
    "Tell a short story about a lighthouse keeper who finds a letter in a bottle.",
    "Why is the sky blue during the day and red in the evening? Explain it to a pupil.",
    "A train leaves at 9:40 and arrives at 13:05. How long does the journey take? Think step by step.",
    "Write a function in Python that returns the longest line of a text file, with a docstring.",
)


def measure_group(directory: str | Path, device: str = "CPU", progress: bool = True) -> DynExecConfig:
    """
    Measures the group sizes of a decoder with compressed weights, and writes the one that is chosen to its
    `dynexec_config.json`. Other models, and models on processors where groups have no effect, stay as they are.

    Args:
        directory (`str` or `Path`): directory of an export.
        device (`str`, *optional*, defaults to `"CPU"`): OpenVINO device.
        progress (`bool`, *optional*, defaults to `True`): whether to show a progress bar.

    Returns:
        [`DynExecConfig`]: the configuration, with `group_size` if a group was chosen.

    Raises:
        `FileNotFoundError`: if the directory has no `dynexec_config.json`.
        `ValueError`: if the configuration or the model cannot be read.
    """
    from transformers import AutoTokenizer

    from ..data.texts import chat_prompts
    from ..modeling import DynExecModelForCausalLM

    config = DynExecConfig.from_pretrained(directory)
    if config.task != DECODER_TASK or not config.pageable:
        return config
    # In float32, the model answers without a proof of row limits.
    model = DynExecModelForCausalLM.from_pretrained(directory, device=device, precision="f32", tuned=False)
    if not model._has_compressed_weights():
        return config
    # Without files, transformers would make a tokenizer without words.
    if not (Path(directory) / "tokenizer_config.json").is_file():
        logger.warning("No group size of dynamic quantization is measured: %s has no tokenizer", directory)
        return config
    prompts = chat_prompts(list(PROMPTS), AutoTokenizer.from_pretrained(directory))
    if not groups_have_effect(model, prompts[0]):
        return config
    config.group_size = choose_group(measure_groups(model, own_texts(model, prompts), progress=progress))
    config.save_pretrained(directory)
    return config
