"""Single steps of `optimize`, on made-up findings: nothing is exported, trained or measured."""

from types import SimpleNamespace

import pytest

from optimum_dynexec import DynExecConfig
from optimum_dynexec.optimize import OptimizeArguments
from optimum_dynexec.optimize.kinds import kind_for
from optimum_dynexec.optimize.steps import benchmark


THRESHOLDS = {"criterion": "max_prob", "thresholds": {"1": 0.5}}


@pytest.mark.parametrize(
    ("task", "tuned", "measured"),
    [
        # Speculation and early exit exclude each other in a call.
        ("text-generation-with-past", {"speculation": "draft_head"}, {"speculation": "draft_head"}),
        ("text-generation-with-past", {"speculation": "off"}, {"speculation": "auto"}),
        (
            "text-classification",
            {"early_exit": None, "batch_size": 1},
            {"criterion": "max_prob", "thresholds": {1: 0.5}},
        ),
        (
            "text-classification",
            {"early_exit": {"criterion": "margin", "threshold": 0.9}, "batch_size": 1},
            {"criterion": "margin", "threshold": 0.9},
        ),
    ],
)
def test_what_a_calibrated_model_is_measured_with(tmp_path, task, tuned, measured):
    DynExecConfig(task=task, calibration=THRESHOLDS).save_pretrained(tmp_path)
    context = SimpleNamespace(result=tmp_path, found={"tune": {"tuning": {"options": tuned}}}, kind=kind_for(task))
    assert context.kind.dynamic_options(benchmark._dynamic(context)) == measured


def test_columns_of_the_parts():
    from optimum_dynexec.heads.encoders import Columns

    pairs = OptimizeArguments(columns=Columns(text="premise", text_pair="hypothesis"))
    assert kind_for("text-classification").columns(pairs) == Columns(text_pair="text_pair")
    assert kind_for("text-generation-with-past").columns(OptimizeArguments()) is None
