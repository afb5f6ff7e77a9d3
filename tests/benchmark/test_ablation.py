"""What is made of figures, order and command lines; nothing is measured."""

import shlex
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from optimum_dynexec.benchmark import BenchmarkArguments
from optimum_dynexec.benchmark.ablation import add_ratios, answer, multiplication
from optimum_dynexec.benchmark.measuring import schedule
from optimum_dynexec.benchmark.prompts import read_prompts
from optimum_dynexec.benchmark.records import Key, Records
from optimum_dynexec.benchmark.reproducing import command_line
from optimum_dynexec.benchmark.systems import System, make_systems
from optimum_dynexec.benchmark.tables import cell, columns_of
from optimum_dynexec.commands.dynexec import DynExecCommand
from optimum_dynexec.data.samples import Columns
from optimum_dynexec.utils.losses import NOTHING, accuracy_loss


TEXTS = {
    "speed": "tokens/s",
    "loss": "rise of perplexity",
    "loss_missing": "it was not measured",
    "dynamic": "guesses",
    "request": "an answer",
}


def rows(*figures, spread=0.001):
    """Of `(model, mode, speed, loss)`, the loss being known but for `spread`."""
    made = [
        {
            "system": f"{model}/{mode}",
            "model": model,
            "mode": mode,
            "speed": speed,
            "loss": loss,
            "loss_interval": None if loss is None else [loss - spread, loss + spread],
            "loss_samples": 20 if loss else 0,
            "loss_variance": 0.0,
        }
        for model, mode, speed, loss in figures
    ]
    add_ratios(made, 0.01)
    return made


FOUR = (
    ("f32", "off", 80.0, 0.0),
    ("f32", "on", 160.0, 0.0),
    ("int8", "off", 100.0, 0.005),
    ("int8", "on", 190.0, 0.005),
)


def test_both_beside_the_product():
    (found,) = multiplication(rows(*FOUR))
    assert (found["quantized"], found["dynamic"], found["product"], found["both"]) == (1.25, 2.0, 2.5, 2.375)
    assert found["share"] == 0.95


def test_the_fastest_within_the_limit():
    found = answer(rows(*FOUR, ("int4", "off", 120.0, 0.05), ("int4", "on", 250.0, 0.05)), TEXTS, 0.01)
    assert found["system"] == "int8/on"
    assert found["sentence"] == (
        "int8 with guesses is 2.38 × as fast as plain f32: 190.0 against 80.0 tokens/s; rise of perplexity 0.50%"
        " (95% interval 0.40% to 0.60%, 20 samples; limit 1.00%)."
    )
    assert found["remarks"] == [
        "int4 with guesses would be 3.12 × as fast, but not good enough: rise of perplexity 5.00%"
        " (95% interval 4.90% to 5.10%, 20 samples; limit 1.00%)."
    ]


def test_nothing_is_faster():
    found = answer(rows(("f32", "off", 80.0, 0.0), ("f32", "on", 60.0, 0.0)), TEXTS, 0.01)
    assert found["system"] == "f32/off"
    assert found["sentence"].startswith("Nothing is faster than plain f32")


def test_what_the_samples_cannot_show_is_undecided():
    """Neither passed, though nothing was lost on them, nor failed; and it is said how many would do."""
    loss = accuracy_loss(np.ones(20, bool), np.ones(20, bool)).figures()
    made = [
        {
            "system": f"int8/{mode}",
            "model": "int8",
            "mode": mode,
            "speed": speed,
            **(loss if mode == "on" else NOTHING),
        }
        for mode, speed in (("off", 80.0), ("on", 160.0))
    ]
    add_ratios(made, 0.01)
    assert [row["within_limit"] for row in made] == [True, None]
    found = answer(made, {**TEXTS, "loss": "accuracy loss", "gain": "accuracy {:.2f} points higher"}, 0.01)
    assert found["sentence"] == (
        "Nothing is shown to be faster than plain int8 within the quality limit: 80.0 tokens/s."
    )
    assert found["remarks"] == [
        "int8 with guesses would be 2.00 × as fast, but whether it is good enough is undecided: accuracy loss 0.00%"
        " (95% interval -16.11% to 16.11%, 20 samples; limit 1.00%); about 381 samples would decide."
    ]
    # As many do, and a gain is not called a negative loss.
    right, wrong = np.ones(800, bool), np.ones(800, bool)
    wrong[:48] = False
    made[1].update(accuracy_loss(wrong, right).figures())
    add_ratios(made, 0.01)
    found = answer(made, {**TEXTS, "loss": "accuracy loss", "gain": "accuracy {:.2f} points higher"}, 0.01)
    assert found["system"] == "int8/on"
    assert "160.0 against 80.0 tokens/s; accuracy 6.00 points higher (95% interval -7.87% to " in found["sentence"]


def test_cells_have_intervals():
    column = {"key": "accuracy", "format": "{:.2%}", "interval": "accuracy_interval"}
    assert cell({"accuracy": 0.95, "accuracy_interval": [0.7513, 0.9987]}, column) == "95.00% (75.13% to 99.87%)"
    assert cell({"accuracy": 0.95, "accuracy_interval": None}, column) == "95.00%"
    assert cell({"accuracy": 0.95}, {"key": "accuracy", "format": "{:.2%}"}) == "95.00%"


def test_a_loss_that_was_not_measured_is_no_number():
    made = rows(("f32", "off", 80.0, 0.0), ("f32", "exit", 90.0, None), ("int8", "on", 90.0, 0.005))
    columns = columns_of({"texts": TEXTS, "columns": []}, {"systems": made})
    assert [cell(row, columns[-1]) for row in made] == ["none", "unknown", "+0.50% (+0.40% to +0.60%)"]


def test_the_baseline_is_within_any_limit():
    """A picture's likeness to itself may be a rounding error below 1."""
    made = rows(("f32", "off", 80.0, 1e-9), ("f32", "on", 90.0, 0.1))
    add_ratios(made, 0.0)
    assert [row["within_limit"] for row in made] == [True, False]
    assert answer(made, TEXTS, 0.0)["system"] == "f32/off"


def test_unknown_loss_is_not_judged():
    """However fast it is."""
    found = answer(rows(("f32", "off", 80.0, 0.0), ("f32", "on", 90.0, 0.0), ("int4", "on", 500.0, None)), TEXTS, 0.01)
    assert found["system"] == "f32/on"
    assert found["remarks"] == [
        "int4/on (6.25 × as fast) is not ranked, because its loss is unknown: it was not measured."
    ]
    # Where nothing else is faster, the sentence must not deny it. Each has its own reason.
    made = rows(("f32", "off", 80.0, 0.0), ("f32", "exit", 90.0, None), ("int4", "on", 500.0, None))
    made[1]["loss_missing"] = "its text differs"
    found = answer(made, TEXTS, 0.01)
    assert found["sentence"].startswith("Nothing with a known loss is faster than plain f32 within")
    assert (
        found["remarks"][0]
        == "f32/exit (1.12 × as fast) is not ranked, because its loss is unknown: its text differs."
    )
    assert found["remarks"][1].startswith("int4/on (6.25 × as fast) is not ranked")


def test_speedups_have_intervals():
    made = rows(*FOUR)
    for low, noise in ((1.5, ""), (0.9, ", within the noise")):
        made[3]["speedup_interval"] = [low, 3.0]
        found = answer(made, TEXTS, 0.01, items=3)
        assert f"as fast as plain f32 (95% interval {low:.2f} to 3.00{noise}): 190.0" in found["sentence"]
        assert found["remarks"] == ["Few prompts (3): the speed-ups may be different on others. Measure at least 20."]
    assert answer(made, TEXTS, 0.01, items=20)["remarks"] == []


def test_all_run_in_turns_and_in_other_orders():
    systems = [System("a", "off"), System("a", "on"), System("b", "off"), System("b", "on")]
    items = [str(number) for number in range(20)]
    planned = schedule(systems, items, 3, seed=0)
    assert Counter(key for key, _ in planned) == Counter(
        Key(system.name, item, repeat) for system in systems for item in items for repeat in range(3)
    )
    # All systems run an item before the next one is begun.
    for start in range(0, len(planned), 4):
        part = planned[start : start + 4]
        assert len({key.item for key, _ in part}) == 1
        assert len({system for _, system in part}) == 4
    firsts = Counter(system.name for _, system in planned[::4])
    assert len(firsts) == 4, "each is first at times"
    repeats = [[key.item for key, _ in planned[start : start + 80 : 4]] for start in (0, 80, 160)]
    assert repeats[0] != repeats[1] != repeats[2]
    assert schedule(systems, items, 3, seed=0) == planned
    assert schedule(systems, items, 3, seed=1) != planned


def test_systems():
    arguments = BenchmarkArguments(
        dynamic={"speculation": "draft_head"}, variants={"lookup": {"speculation": "prompt_lookup"}}
    )
    made = make_systems(["f32", "int8"], arguments)
    assert [system.name for system in made] == [
        "f32/off",
        "f32/on",
        "f32/lookup",
        "int8/off",
        "int8/on",
        "int8/lookup",
    ]
    assert made[1].options == {"speculation": "draft_head"}
    assert made[0].plain
    assert not made[2].plain


def test_records_of_other_settings_are_left_alone(tmp_path):
    path = tmp_path / "records.jsonl"
    first = Records(path, {"seed": 0}, dict)
    first.add(Key("a", "1", 0), {"seconds": 1.0})
    other = Records(path, {"seed": 1}, dict)
    assert (other.resumed, other.others) == (0, 1)
    other.add(Key("a", "1", 0), {"seconds": 2.0})
    again = Records(path, {"seed": 0}, dict)
    assert again.runs("a", "1") == [{"seconds": 1.0}]


def test_command_line_gives_the_same_arguments():
    """What a report says to reproduce it is parsed to what it was made with."""
    from argparse import ArgumentParser

    from optimum_dynexec.commands.benchmark import BenchmarkCommand, read_options
    from optimum_dynexec.commands.columns import read_columns

    arguments = BenchmarkArguments(
        max_samples=7,
        precision="exact",
        dynamic={"threshold": 0.5},
        variants={"bold": {"threshold": 0.1}},
        perplexity_data=["a b.txt", "c.txt"],
        batch_sizes=(2, 4),
        columns=Columns(text="q", label="topic"),
        guidance_scale=3.5,
        max_loss=0.02,
        threads=1,
    )
    models = {"f32": Path("a dir"), "int8": Path("b")}
    words = command_line(models, ["data.csv"], arguments, Path("out.json"))
    assert shlex.split(shlex.join(words)) == words
    parser = ArgumentParser()
    BenchmarkCommand.parse_args(parser)
    parsed = parser.parse_args(words[3:])
    assert dict(parsed.models) == {name: str(path) for name, path in models.items()}
    assert (parsed.data, parsed.out) == (["data.csv"], "out.json")
    assert BenchmarkArguments(columns=Columns(**read_columns(parsed)), **read_options(parsed)) == arguments
    assert BenchmarkCommand in [info.subcommand_class for info in DynExecCommand.SUBCOMMANDS]


def test_defaults_are_those_of_the_command_line():
    from argparse import ArgumentParser

    from optimum_dynexec.commands.benchmark import BenchmarkCommand, read_options

    parser = ArgumentParser()
    BenchmarkCommand.parse_args(parser)
    parsed = parser.parse_args(["a=b", "--data", "c", "--out", "d"])
    assert BenchmarkArguments(**read_options(parsed)) == BenchmarkArguments()


def test_prompts(tmp_path):
    (tmp_path / "texts.txt").write_text("\n".join(f"text {number}" for number in range(9)))
    chosen = read_prompts([tmp_path / "texts.txt"], 3)
    assert [(question.question_id, question.text) for question in chosen] == [
        ("0", "text 0"),
        ("4", "text 4"),
        ("8", "text 8"),
    ]
    (tmp_path / "rows.jsonl").write_text('{"name": "one", "prompt": "two"}\n')
    assert read_prompts([f"{tmp_path}/rows.jsonl:name"])[0].text == "one"
    assert len(read_prompts([tmp_path / "texts.txt", tmp_path / "rows.jsonl"])) == 10
    (tmp_path / "empty.txt").write_text("\n")
    question = '{"question_id": 1, "category": "qa", "turns": ["what"]}\n'
    (tmp_path / "twice.jsonl").write_text(2 * question)
    with pytest.raises(ValueError, match="two questions in .* have the same `question_id`"):
        read_prompts([tmp_path / "twice.jsonl"])
    with pytest.raises(ValueError, match="there is no prompt in"):
        read_prompts([tmp_path / "empty.txt"])
