"""Decoders, measured."""

import json
import shutil

import pytest
import torch

from optimum_dynexec import DynExecModelForCausalLM
from optimum_dynexec.benchmark import BenchmarkArguments, BenchmarkError, run_benchmark
from optimum_dynexec.benchmark.decoding import new_memory
from optimum_dynexec.benchmark.perplexity import perplexity, windows
from optimum_dynexec.benchmark.tasks import decoder
from optimum_dynexec.directory import attach_heads
from optimum_dynexec.directory.hashes import hash_model
from optimum_dynexec.heads import save_head
from tests.heads.reference import random_head
from tests.tiny_models import build_tokenizer


def systems(results, workload=0):
    return {row["system"]: row for row in results["workloads"][workload]["systems"]}


def test_four_sides_of_the_ablation(decoder_run):
    results = decoder_run.results
    rows = systems(results)
    assert list(rows) == ["f32/off", "f32/on", "int8/off", "int8/on"]
    for row in rows.values():
        assert row["requests"] == row["equal"] == 3
        assert row["speed"] > 0
        assert row["latency_p99_ms"] >= row["latency_ms"] > row["first_token_ms"] > 0
    assert rows["f32/off"]["speedup"] == 1
    assert rows["f32/off"]["speedup_interval"] == [1, 1]
    for row in rows.values():
        low, high = row["speedup_interval"]
        assert low <= row["speedup"] <= high
        assert row["system"] == "f32/off" or low < high
    assert rows["f32/off"]["acceptance_rate"] is None
    assert rows["f32/off"]["mean_accepted_length"] == 1
    (both,) = results["workloads"][0]["multiplication"]
    assert both["product"] == rows["int8/off"]["speedup"] * rows["f32/on"]["speedup"]
    assert both["both"] == rows["int8/on"]["speedup"]
    assert both["share"] == both["both"] / both["product"]
    # By task of Spec-Bench too.
    assert [workload["name"] for workload in results["workloads"]] == ["all prompts", "mt_bench", "qa", "rag"]
    assert sum(workload["items"] for workload in results["workloads"][1:]) == 3
    assert results["energy"]["available"] is False or rows["f32/off"]["energy_joules"] > 0


def test_tokens_are_those_of_generate(decoder_run):
    """What was recorded is what the model says to that prompt, and what was accepted is in the histogram."""
    lines = decoder_run.output.with_name("results.json.records.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    record = next(r for r in records if (r["system"], r["item"], r["repeat"]) == ("int8/on", "241", 1))
    from transformers import AutoTokenizer

    from optimum_dynexec.data.texts import chat_prompts
    from tests.tiny_models import TEXT

    directory = decoder_run.models["int8"]
    (ids,) = chat_prompts([TEXT[1]], AutoTokenizer.from_pretrained(directory))
    model = DynExecModelForCausalLM.from_pretrained(directory, precision="exact")
    plain = model.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False, speculation="off")
    assert record["tokens"] == plain[0, len(ids) :].tolist()
    rows = systems(decoder_run.results)
    first = [r for r in records if r["system"] == "int8/on" and r["repeat"] == 0]
    accepted = sum(int(length) * count for length, count in (rows["int8/on"]["histogram"] or {}).items())
    assert accepted == sum(r["accepted"] for r in first)


def test_perplexity_is_that_of_transformers(decoder_run, tiny_hf, held_out):
    """With one window over all the text, it is the exponential of the model's own loss."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_hf("llama"))
    ids = tokenizer(held_out.read_text())["input_ids"][:40]
    reference = AutoModelForCausalLM.from_pretrained(tiny_hf("llama"), dtype=torch.float32)
    model = DynExecModelForCausalLM.from_pretrained(decoder_run.models["f32"], precision="exact")
    found = perplexity(model, ids, window=64, stride=32)
    loss = reference(input_ids=torch.tensor([ids]), labels=torch.tensor([ids])).loss
    assert found.tokens == len(ids) - 1 == sum(count for _, count in found.parts)
    assert sum(part for part, _ in found.parts) == pytest.approx(found.negative_log_likelihood)
    assert found.value == pytest.approx(float(loss.exp().detach()), rel=1e-4)
    # Each token counts once, in every window but the first after at least `window - stride` others.
    sliding = perplexity(model, ids, window=16, stride=4)
    assert sliding.tokens == len(ids) - 1
    assert sliding.value != found.value
    for begin, end, counted in windows(40, 16, 4):
        assert end - begin <= 16
        assert begin == 0 or counted - begin >= 12
    rows = systems(decoder_run.results)
    assert rows["int8/on"]["perplexity"] == rows["int8/off"]["perplexity"] != rows["f32/off"]["perplexity"]
    row = rows["int8/off"]
    assert row["loss"] == pytest.approx(row["perplexity"] / rows["f32/off"]["perplexity"] - 1)
    assert row["loss_interval"][0] < row["loss"] < row["loss_interval"][1]
    assert row["loss_samples"] == len(tokenizer("\n\n".join(held_out.read_text().splitlines()))["input_ids"]) - 1
    # The model's own speculation loses nothing, and that takes no samples to show.
    assert (rows["f32/on"]["loss_interval"], rows["f32/on"]["within_limit"]) == ([0, 0], True)


def test_provenance(decoder_run):
    results = json.loads(decoder_run.output.read_text())
    assert results == json.loads(json.dumps(decoder_run.results))
    found = results["provenance"]
    assert found["models"]["int8"]["hashes"]["."] == hash_model(decoder_run.models["int8"])
    assert "u8" in found["models"]["int8"]["weights"]["."]
    assert found["versions"]["openvino"].startswith("2026")
    assert {"cpu", "logical_cpus", "kernel"} <= set(found["machine"])
    assert found["arguments"]["seed"] == 0
    assert next(iter(found["data"]["files"].values())).startswith("sha256:")


def test_goes_on_where_it_was(decoder_run, tmp_path, monkeypatch):
    """Interrupted, the same call runs what is left, and only that."""
    from optimum_dynexec.benchmark.tasks.decoder import DecoderBenchmark

    given = (decoder_run.models, decoder_run.data, decoder_run.arguments)
    output, run, calls = tmp_path / "results.json", DecoderBenchmark.run, []

    def counted(self, system, item, warm_up=False, first=True):
        if not warm_up:
            calls.append((system.name, item))
            if len(calls) == 11:
                raise KeyboardInterrupt
        return run(self, system, item, warm_up, first)

    monkeypatch.setattr(DecoderBenchmark, "run", counted)
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(*given, output)
    assert not output.exists()
    records = tmp_path / "results.json.records.jsonl"
    assert len(records.read_text().splitlines()) == 10
    with records.open("a") as file:
        file.write('{"fingerprint": "cut o')  # as a crash would leave it
    results = run_benchmark(*given, output)
    assert len(calls) == 11 + 2 * 3 * 4 - 10
    assert results["provenance"]["records_of_earlier_runs"] == 10
    assert {row["equal"] for row in systems(results).values()} == {3}
    # All done: nothing runs, and another limit for the loss is no other measurement.
    calls.clear()
    run_benchmark(*given, output)
    assert calls == []


def test_unequal_answers_are_said_to_be(decoder_run, tmp_path):
    """A token in the records is changed: `exact` promises otherwise, and the results must say so."""
    output = tmp_path / "results.json"
    lines = decoder_run.output.with_name("results.json.records.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    changed = next(r for r in records if (r["system"], r["item"], r["repeat"]) == ("f32/on", "81", 1))
    changed["tokens"][-1] += 1
    output.with_name("results.json.records.jsonl").write_text("\n".join(map(json.dumps, records)) + "\n")
    results = run_benchmark(decoder_run.models, decoder_run.data, decoder_run.arguments, output)
    row = systems(results)["f32/on"]
    assert row["equal"] == 2
    assert "1 of 3 answers differ" in row["warnings"][0]


def test_a_model_that_computes_nan_is_not_judged(decoder_run, tmp_path):
    """A perplexity that is not a number must not cost the results, which JSON could not hold."""
    output = tmp_path / "results.json"
    lines = decoder_run.output.with_name("results.json.records.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    changed = next(r for r in records if (r["system"], r["item"]) == ("int8", "perplexity"))
    changed["negative_log_likelihood"] = float("nan")
    output.with_name("results.json.records.jsonl").write_text("\n".join(map(json.dumps, records)) + "\n")
    run_benchmark(decoder_run.models, decoder_run.data, decoder_run.arguments, output)
    rows = systems(json.loads(output.read_text()))
    assert (rows["int8/on"]["loss"], rows["int8/on"]["within_limit"]) == (None, None)
    assert "not finite" in rows["int8/off"]["loss_missing"]
    assert rows["f32/on"]["loss_missing"] is None


@pytest.mark.parametrize("kinds", [("norm", "draft"), ("norm",)])
def test_only_what_asks_for_exits_has_the_model_cut(tiny_export, questions, tmp_path, monkeypatch, kinds):
    """Cut into segments it is slower, which must not be taken for plain decoding; nor is it cut while others run."""
    directory = shutil.copytree(tiny_export("llama"), tmp_path / "model")
    (tmp_path / "heads").mkdir()
    for kind in kinds:
        shape, tensors, _ = random_head(kind, hidden_size=64, vocab_size=len(build_tokenizer()), words=200, rank=0)
        save_head(shape, tensors, tmp_path / "heads" / f"{shape.name}.safetensors")
    attach_heads(directory, tmp_path / "heads")
    models = []
    monkeypatch.setattr(decoder, "new_memory", lambda model: models.append(model) or new_memory(model))
    arguments = BenchmarkArguments(
        precision="exact",
        repeats=1,
        max_new_tokens=6,
        dynamic={"assistant_early_exit": 2},
        variants={"auto": {"speculation": "auto"}, "exit": {"early_exit": {"threshold": 0.0}}},
        progress=False,
    )
    results = run_benchmark({"m": directory}, [questions], arguments)
    rows = systems(results)
    exits = rows.pop("m/exit")
    assert {row["equal"] for row in rows.values()} == {3}
    assert rows["m/on"]["acceptance_rate"] is not None
    # As many segments as it ended with: off, drafting from the exit, auto, which looks for a draft head first, and
    # what leaves early.
    assert [len(model.engine.layers) for model in models] == [1, 2, 1 if "draft" in kinds else 2, 2]
    # What leaves early has layers instead of drafts, and is not ranked.
    assert (exits["loss"], exits["mean_accepted_length"], rows["m/on"]["mean_layers"]) == (None, None, None)
    counts = {int(layer): count for layer, count in exits["exit_histogram"].items()}
    assert exits["mean_layers"] == sum((layer + 1) * count for layer, count in counts.items()) / sum(counts.values())
    assert 2 <= exits["mean_layers"] < 3
    assert any(line.startswith("m/exit (") and "is not ranked" in line for line in results["answer"]["remarks"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"precision": "half"}, "`precision` must be one of"),
        ({"repeats": 0}, "`repeats` must be at least 1"),
        ({"batch_sizes": (1, 1)}, "`batch_sizes` must be different whole numbers"),
        ({"max_loss": 1.0}, "`max_loss` must be at least 0"),
        ({"perplexity_window": 4, "perplexity_stride": 4}, "`perplexity_window` must be greater"),
        ({"variants": {"off": {}}}, "cannot be called 'off'"),
        ({"variants": {"a/b": {}}}, "the name of a variant must be"),
    ],
)
def test_arguments_are_checked(change, message):
    with pytest.raises(BenchmarkError, match=message):
        BenchmarkArguments(**change)


def test_models_are_checked(tiny_export, tiny_encoder, questions, held_out, tmp_path):
    with pytest.raises(BenchmarkError, match="there is no model"):
        run_benchmark({}, [questions])
    with pytest.raises(BenchmarkError, match="no data"):
        run_benchmark({"f32": tiny_export("llama")}, [])
    with pytest.raises(BenchmarkError, match="is a directory; give a file"):
        run_benchmark({"f32": tiny_export("llama")}, [questions], output=tmp_path)
    with pytest.raises(ValueError, match="at least 2 tokens, but 1 tokens of .* are used"):
        arguments = BenchmarkArguments(perplexity_data=[str(held_out)], max_perplexity_tokens=1)
        run_benchmark({"f32": tiny_export("llama")}, [questions], arguments)
    with pytest.raises(BenchmarkError, match="holds neither dynexec_config.json nor"):
        run_benchmark({"f32": tmp_path}, [questions])
    with pytest.raises(BenchmarkError, match="must be for the same task"):
        run_benchmark({"f32": tiny_export("llama"), "bert": tiny_encoder("bert")}, [questions])
    with pytest.raises(BenchmarkError, match="cannot be measured"):
        run_benchmark({"bert": tiny_encoder("bert", "feature-extraction")}, [questions])
