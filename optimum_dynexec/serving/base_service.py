"""What a server of any kind of model has."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from .admission import Admission
from .arguments import ServeArguments
from .errors import ApiError
from .metrics import CommonMetrics
from .prompts import Prompts


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class BaseService(ABC):
    """
    What all requests share, whatever they ask for.

    Args:
        name (`str`): name of the model.
        arguments ([`ServeArguments`]): arguments of the server.
        tokenizer (`PreTrainedTokenizerBase`): tokenizer of the model.
        max_model_len (`int`): maximum number of tokens of a prompt and its answer.
    """

    # What the model does, for messages.
    what: ClassVar[str]
    metrics: CommonMetrics

    def __init__(self, name: str, arguments: ServeArguments, tokenizer: "PreTrainedTokenizerBase", max_model_len: int):
        self.name, self.arguments, self.max_model_len = name, arguments, max_model_len
        self.prompts = Prompts(tokenizer)
        self.admission = Admission(arguments.max_running, arguments.max_waiting)
        self.draining = False
        self.active = 0
        self.answered = 0

    @abstractmethod
    def is_running(self) -> bool:
        """Whether results are delivered."""

    def check_model(self, name: str) -> None:
        """
        Checks the name of the model in a request.

        Args:
            name (`str`): the name.

        Raises:
            [`ApiError`]: with status 404 if it is another model.
        """
        if name != self.name:
            raise ApiError(
                404,
                f"The model {name[:200]!r} does not exist. This server has {self.name!r}.",
                param="model",
                code="model_not_found",
            )
