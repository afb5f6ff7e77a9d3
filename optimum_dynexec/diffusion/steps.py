"""The argument `num_inference_steps="auto"`."""

import inspect
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from optimum.intel import OVDiffusionPipeline


AUTO = "auto"


def resolve_steps(
    pipeline: "OVDiffusionPipeline", args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], list[int] | None]:
    """
    Replaces `num_inference_steps="auto"` by the predicted number of steps. A batch has one schedule, so it takes the
    largest number of its prompts.

    Args:
        pipeline (`OVDiffusionPipeline`): pipeline that is called.
        args (`tuple`): positional arguments of the call.
        kwargs (`dict[str, Any]`): keyword arguments of the call.

    Returns:
        `tuple`: the positional and the keyword arguments, and the number of steps for each prompt, or `None` without
        `"auto"`.

    Raises:
        `ValueError`: if there is no prompt to predict from, or the number of steps is another string.
        `FileNotFoundError`: if the pipeline has no predictor.
    """
    names = list(inspect.signature(pipeline.auto_model_class.__call__).parameters)[1:]
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    steps = given.get("num_inference_steps")
    if not isinstance(steps, str):
        return args, kwargs, None
    if steps != AUTO:
        raise ValueError(f"`num_inference_steps` must be a whole number or {AUTO!r}, but it is {steps!r}")
    prompt = given.get("prompt")
    prompts = [prompt] if isinstance(prompt, str) else prompt
    if not prompts or not all(isinstance(text, str) for text in prompts):
        raise ValueError(f'`num_inference_steps="{AUTO}"` needs a `prompt` to predict the number of steps from')
    predicted = pipeline.step_predictor.predict(prompts)
    if "num_inference_steps" in kwargs:
        return args, {**kwargs, "num_inference_steps": max(predicted)}, predicted
    index = names.index("num_inference_steps")
    return (*args[:index], max(predicted), *args[index + 1 :]), kwargs, predicted
