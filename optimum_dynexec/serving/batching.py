"""Samples of all requests on their way through an encoder, in shared batches."""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from transformers.modeling_outputs import ModelOutput

from ..modeling.encoder import DynExecEncoderMixin


logger = logging.getLogger(__name__)

# Batches that may begin after a sample that waits for a full one.
PATIENCE = 2


@dataclass(frozen=True, eq=False)
class Sample:
    """
    A text on its way.

    Args:
        inputs (`Mapping[str, list[int]]`): inputs of the model by name.
        early_exit (`str`, *optional*): early exit of this text.
        result (`Future`): its output, with the batch dimension 1 and without padding.
    """

    inputs: Mapping[str, list[int]]
    early_exit: str | None
    result: "Future[ModelOutput]" = field(default_factory=Future)


class Batching:
    """
    Runs samples in a thread of its own, in the order in which they come. With early exit, a stream of the model takes
    those that have come while others run, and fills the places of those that have left. Without, what waits when the
    model is free is the next batch.

    Args:
        model ([`~modeling.encoder.DynExecEncoderMixin`]): model.
        batch_size (`int`): maximum number of samples in a batch.
        pad_token_id (`int`): token after short texts.
    """

    def __init__(self, model: DynExecEncoderMixin, batch_size: int, pad_token_id: int):
        self._model, self._batch_size, self._pad = model, batch_size, pad_token_id
        self._queue: deque[Sample] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="dynexec-batching", daemon=True)
        self._thread.start()

    async def run(self, inputs: Sequence[Mapping[str, list[int]]], early_exit: str | None) -> list[ModelOutput]:
        """
        Runs the samples of a request. Those that wait when it is cancelled do not run.

        Args:
            inputs (`Sequence[Mapping[str, list[int]]]`): inputs of each sample by name.
            early_exit (`str`, *optional*): early exit, as in a call of the model.
        """
        samples = [Sample(one, early_exit) for one in inputs]
        with self._changed:
            self._queue.extend(samples)
            self._changed.notify()
        return await asyncio.gather(*(asyncio.wrap_future(sample.result) for sample in samples))

    def is_running(self) -> bool:
        """Whether samples are run."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Ends the thread after the samples that wait."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closed)
                if not self._queue:
                    return
                early_exit = self._queue[0].early_exit
            running: deque[Sample] = deque()
            try:
                if early_exit is None:
                    self._batch(running)
                else:
                    self._stream(early_exit, running)
            except Exception as error:
                logger.error("%s in a batch", type(error).__name__)  # its message may have text of a prompt
                for sample in running:
                    sample.result.set_exception(error)

    def _take(self, early_exit: str | None) -> Sample | None:
        """The next sample, unless it has another early exit: order comes before full batches."""
        with self._changed:
            while self._queue and self._queue[0].early_exit == early_exit:
                sample = self._queue.popleft()
                if sample.result.set_running_or_notify_cancel():
                    return sample
        return None

    def _stream(self, early_exit: str, running: deque[Sample]) -> None:
        def samples() -> Iterator[dict[str, np.ndarray]]:
            # When none waits, the stream ends, so that those that run need not wait for others to come.
            while (sample := self._take(early_exit)) is not None:
                running.append(sample)
                yield {name: np.array(values, np.int64) for name, values in sample.inputs.items()}

        waiting = PATIENCE * self._batch_size
        for output in self._model.stream(samples(), self._batch_size, early_exit=early_exit, max_waiting=waiting):
            running.popleft().result.set_result(output)

    def _batch(self, running: deque[Sample]) -> None:
        while len(running) < self._batch_size and (sample := self._take(None)) is not None:
            running.append(sample)
        if not running:
            return
        lengths = [len(sample.inputs["input_ids"]) for sample in running]
        arrays: dict[str, Any] = {
            "attention_mask": self._padded([[1] * length for length in lengths], 0, max(lengths))
        }
        # Token ids that a client gives come without the other inputs, which are then 0.
        for name in {name for sample in running for name in sample.inputs}:
            filler = self._pad if name == "input_ids" else 0
            arrays[name] = self._padded([sample.inputs.get(name, []) for sample in running], filler, max(lengths))
        output = self._model(**arrays, early_exit=None)
        for index, length in enumerate(lengths):
            values = {name: value[index : index + 1] for name, value in output.items()}
            if "last_hidden_state" in values:
                values["last_hidden_state"] = values["last_hidden_state"][:, :length]
            running.popleft().result.set_result(type(output)(**values))

    @staticmethod
    def _padded(rows: Sequence[list[int]], filler: int, width: int) -> np.ndarray:
        return np.array([row + [filler] * (width - len(row)) for row in rows], np.int64)
