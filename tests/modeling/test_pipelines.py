"""`transformers.pipeline` takes our classes without an error in the log, whatever else has been loaded."""

import logging

import optimum.intel
import pytest
from transformers import ViTImageProcessor, Wav2Vec2FeatureExtractor, pipeline

import optimum_dynexec
from optimum_dynexec import torch_backend
from tests.tiny_encoders import IMAGE_SIZE


TASKS = {
    "text-generation": ("gpt2", "CausalLM"),
    "text-classification": ("bert", "SequenceClassification"),
    "token-classification": ("bert", "TokenClassification"),
    "feature-extraction": ("bert", "FeatureExtraction"),
    "image-classification": ("vit", "ImageClassification"),
    "audio-classification": ("wav2vec2", "AudioClassification"),
}


@pytest.fixture
def logged(caplog):
    """What transformers says, which its loggers keep from the root."""
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.mark.parametrize("task", TASKS)
def test_no_false_error(task, logged, tiny_tokenizer, tiny_export, tiny_hf, tiny_encoder, tiny_encoder_hf):
    name, suffix = TASKS[task]
    export, source = (tiny_export, tiny_hf) if task == "text-generation" else (tiny_encoder, tiny_encoder_hf)
    own_task = () if task in ("text-generation", "text-classification", "image-classification") else (task,)
    if task == "image-classification":
        reads = {"image_processor": ViTImageProcessor(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE})}
    elif task == "audio-classification":
        reads, own_task = {"feature_extractor": Wav2Vec2FeatureExtractor()}, ()
    else:
        reads = {"tokenizer": tiny_tokenizer}
    directory = export(name, *own_task)
    models = [getattr(optimum_dynexec, f"DynExecModelFor{suffix}").from_pretrained(directory)]
    if task != "feature-extraction":
        torch_class = getattr(torch_backend, f"TorchDynExecModelFor{suffix}")
        models.append(torch_class.from_pretrained(source(name, *own_task)))
    # Each load takes the place of the one before in optimum-intel's own registration.
    getattr(optimum.intel, f"OVModelFor{suffix}").from_pretrained(directory)
    for model in models:
        pipeline(task, model=model, **reads)
    assert "is not supported" not in logged.text
