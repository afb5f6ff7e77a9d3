"""Measures the result on inputs that were not used for any choice."""

from typing import Any

from ...benchmark import BenchmarkArguments, run_benchmark
from ...directory.config import DynExecConfig
from ...directory.tuning import Tuning
from ..context import Context


RESULTS = "report/results.json"


def run(context: Context) -> tuple[dict[str, Any], list[str]]:
    """Compares the model with the model in float32, with and without dynamic execution."""
    args = context.args
    if args.benchmark_samples == 0:
        return {"results": None}, ["benchmark: none, as requested"]
    dynamic = context.kind.dynamic_options(_dynamic(context))
    if dynamic is None:
        return {"results": None}, ["benchmark: none, because the model has no dynamic execution to compare"]
    chosen = context.found["quantize"]["chosen"]
    models = {"f32": context.reference, **({} if chosen == "f32" else {chosen: context.result})}
    tuning = Tuning.from_dict(DynExecConfig.from_pretrained(context.result).tuning or {})
    threads = tuning.ov_config.get("INFERENCE_NUM_THREADS")
    arguments = BenchmarkArguments(
        # The tuned settings, for all models, so that none has an advantage.
        precision=tuning.precision,
        threads=None if threads is None else int(threads),
        max_samples=args.benchmark_samples or context.kind.benchmark_samples(args),
        max_loss=args.max_loss,
        max_new_tokens=args.max_new_tokens,
        max_length=args.max_length,
        columns=context.kind.columns(args),
        seed=args.seed,
        repeats=3,
        dynamic=dynamic,
        progress=context.progress,
        **context.kind.benchmark_options(context.part("test")),
    )
    (context.output / "report").mkdir(exist_ok=True)
    found = run_benchmark(models, [context.part("test")], arguments, context.output / RESULTS)
    answer = found["answer"]
    lines = [f"benchmark: {line}" for line in (answer["sentence"], *answer["remarks"])]
    return {"results": RESULTS, "answer": answer, "places": [RESULTS]}, lines


def _dynamic(context: Context) -> dict[str, Any]:
    """
    The chosen options. `"calibrated"` is replaced by the thresholds, because only one of the models is calibrated. If
    a classifier was tuned to no early exit, the calibrated thresholds are used all the same, so that the report shows
    the reason. Decoders are not tuned to early exit, which excludes the speculation that they are tuned to.
    """
    config = DynExecConfig.from_pretrained(context.result)
    options = dict(context.found["tune"]["tuning"]["options"])
    exits = "early_exit" in options and options["early_exit"] in (None, "calibrated")
    if exits and config.calibration is not None:
        thresholds = {int(layer): value for layer, value in config.calibration["thresholds"].items()}
        options["early_exit"] = {"criterion": config.calibration["criterion"], "thresholds": thresholds}
    return options
