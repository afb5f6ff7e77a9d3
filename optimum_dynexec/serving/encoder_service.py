"""Services of encoders: embeddings and labels."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from transformers.modeling_outputs import ModelOutput

from ..modeling import DynExecModelForFeatureExtraction, DynExecModelForSequenceClassification
from ..modeling.encoder import DynExecEncoderMixin
from .arguments import ServeArguments
from .base_service import BaseService
from .batching import Batching
from .encoder_loading import LoadedEncoder
from .encoder_requests import MAX_TEXTS
from .errors import ApiError, invalid
from .metrics import EncoderMetrics
from .pooling import Pooling, read_pooling
from .prompts import check_tokens


# Inputs of one text, by name.
Inputs = Mapping[str, list[int]]


class EncoderService(BaseService):
    """
    What all requests share.

    Args:
        loaded ([`~serving.encoder_loading.LoadedEncoder`]): model and tokenizer.
        batching ([`~serving.batching.Batching`]): runs the model.
        name (`str`): name of the model.
        arguments ([`ServeArguments`]): arguments of the server.
    """

    # The class of models that it serves.
    model_class: ClassVar[type[DynExecEncoderMixin]]
    metrics: EncoderMetrics

    def __init__(self, loaded: LoadedEncoder, batching: Batching, name: str, arguments: ServeArguments):
        super().__init__(name, arguments, loaded.tokenizer, loaded.max_model_len)
        self.loaded = loaded
        self._batching = batching
        self.metrics = EncoderMetrics(self.admission, name)

    def is_running(self) -> bool:
        """Whether results are delivered."""
        return self._batching.is_running()

    async def inputs_of(self, given: str | Sequence[Any], param: str) -> list[Inputs]:
        """
        Reads one or several texts, or lists of token ids.

        Args:
            given (`str` or `Sequence`): what the request has.
            param (`str`): the field with it.

        Raises:
            [`ApiError`]: with status 400 if there are too many, or one is empty or too long, or has a
                token that does not exist.
        """
        several: Sequence[Any] = [given] if isinstance(given, str) or isinstance(given[0], int) else given
        if len(several) > MAX_TEXTS:
            raise invalid(
                f"`{param}` must have at most {MAX_TEXTS} texts, got {len(several)}: send several requests.", param
            )
        found: list[Inputs] = []
        for one in several:
            found.append(await self.prompts.inputs_of(one) if isinstance(one, str) else {"input_ids": list(one)})
        self.check(found, param)
        return found

    def check(self, inputs: Sequence[Inputs], param: str) -> None:
        """
        Checks the tokens of texts.

        Args:
            inputs (`Sequence[Mapping[str, list[int]]]`): inputs of each text by name.
            param (`str`): the field with the texts.

        Raises:
            [`ApiError`]: with status 400 if one is empty or too long, or has a token that does not exist.
        """
        for index, one in enumerate(inputs):
            tokens = one["input_ids"]
            check_tokens(tokens, self.loaded.model.config.vocab_size, param)
            if len(tokens) > self.max_model_len:
                raise invalid(
                    f"This model's maximum context length is {self.max_model_len} tokens, but text {index} (counted"
                    f" from 0) of `{param}` has {len(tokens)}: shorten it.",
                    param,
                    "context_length_exceeded",
                )

    def early_exit(self, asked: str | None) -> str | None:
        """
        The early exit of a request.

        Args:
            asked (`str`, *optional*): what the request says.

        Raises:
            [`ApiError`]: with status 400 if the model has none.
        """
        if asked is None:
            return self.loaded.early_exit
        if asked == "off":
            return None
        if self.loaded.no_early_exit is not None:
            raise invalid(f"`early_exit` is not possible: {self.loaded.no_early_exit}", "early_exit")
        return asked

    async def run(self, inputs: Sequence[Inputs], early_exit: str | None) -> list[ModelOutput]:
        """
        Runs texts, with those of other requests.

        Args:
            inputs (`Sequence[Mapping[str, list[int]]]`): inputs of each text by name.
            early_exit (`str`, *optional*): early exit, as in a call of the model.
        """
        return await self._batching.run(inputs, early_exit)


class EmbeddingService(EncoderService):
    """Gives embeddings."""

    what = "embeddings"
    model_class = DynExecModelForFeatureExtraction

    def __init__(self, loaded: LoadedEncoder, batching: Batching, name: str, arguments: ServeArguments):
        super().__init__(loaded, batching, name, arguments)
        self.pooling: Pooling = read_pooling(loaded.directory)

    @property
    def dimensions(self) -> int:
        """The number of numbers in an embedding."""
        return int(self.loaded.model.config.hidden_size) * len(self.pooling.modes)

    def check_dimensions(self, asked: int | None) -> None:
        """
        Checks the field `dimensions`.

        Args:
            asked (`int`, *optional*): its value.

        Raises:
            [`ApiError`]: with status 400 if embeddings do not have so many.
        """
        if asked is not None and asked > self.dimensions:
            raise ApiError(
                400,
                f"`dimensions` must be at most {self.dimensions}, the size of this model's embeddings, got {asked}.",
                param="dimensions",
            )


class ClassifierService(EncoderService):
    """Gives labels; and scores of pairs of texts, if the classifier has one output."""

    what = "classification"
    model_class = DynExecModelForSequenceClassification

    @property
    def is_cross_encoder(self) -> bool:
        """Whether there is one output."""
        return int(self.loaded.model.config.num_labels) == 1

    def label(self, index: int) -> str:
        """
        The name of a label.

        Args:
            index (`int`): its index.
        """
        return str(self.loaded.model.config.id2label.get(index, index))

    def probabilities(self, output: ModelOutput) -> np.ndarray:
        """
        The probabilities of the labels, each of its own if a text may have several labels.

        Args:
            output (`ModelOutput`): output of a text.
        """
        logits = np.asarray(output.logits[0], np.float64)
        if len(logits) == 1 or self.loaded.model.config.problem_type == "multi_label_classification":
            return 0.5 * (1.0 + np.tanh(0.5 * logits))  # the sigmoid, without overflow
        powers = np.exp(logits - logits.max())
        return powers / powers.sum()
