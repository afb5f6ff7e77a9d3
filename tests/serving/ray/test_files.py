"""Batch inference on Ray Data."""

import json

import pytest


pytest.importorskip("ray", reason="the packages of the extra [ray] are not installed: make venv")

from optimum_dynexec.serving import ServeError
from optimum_dynexec.serving.ray import DynExecPredictor, predict_files
from tests.tiny_models import TEXT


PROMPTS = [" ".join(TEXT[i % 4].split()[i : i + 5]) for i in range(5)]


def greedy(model, tokenizer, prompt, length):
    ids = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
    tokens = model.generate(**ids, max_new_tokens=length, do_sample=False)[0, ids["input_ids"].shape[1] :]
    return tokenizer.decode(tokens, skip_special_tokens=True)


@pytest.fixture(scope="module")
def predictor(chat_export):
    made = DynExecPredictor(str(chat_export), max_new_tokens=12, precision="exact")
    yield made
    made.close()


def test_prompts_and_messages(predictor, chat_export, tiny_tokenizer):
    from optimum_dynexec import DynExecModelForCausalLM

    model = DynExecModelForCausalLM.from_pretrained(chat_export, precision="exact")
    rows = predictor({"prompt": PROMPTS, "id": list(range(5))})
    assert rows["generated_text"] == [greedy(model, tiny_tokenizer, prompt, 12) for prompt in PROMPTS]
    assert rows["id"] == list(range(5))
    assert rows["prompt_tokens"] == [len(tiny_tokenizer(prompt)["input_ids"]) for prompt in PROMPTS]
    assert all(
        0 < passes <= tokens for passes, tokens in zip(rows["forward_passes"], rows["generated_tokens"], strict=True)
    )
    assert all(a <= d for a, d in zip(rows["accepted_tokens"], rows["drafted_tokens"], strict=True))
    chat = predictor({"messages": [[{"role": "user", "content": "The quick"}]]})
    assert chat["generated_text"] == [greedy(model, tiny_tokenizer, "user: The quick\nassistant: ", 12)]
    with pytest.raises(ValueError, match="`prompt` or `messages`"):
        predictor({"text": ["x"]})


def test_a_run_that_was_interrupted_goes_on(local_ray, chat_export, tmp_path):
    import pyarrow
    import pyarrow.parquet

    source, output = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    (source / "a.jsonl").write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS))
    pyarrow.parquet.write_table(pyarrow.table({"prompt": PROMPTS[:3]}), source / "b.parquet")
    arguments = {"rows_per_block": 2, "num_cpus": 0.5, "max_new_tokens": 4, "precision": "exact"}
    names = [*(f"a.jsonl-00000{i}.parquet" for i in range(3)), *(f"b.parquet-00000{i}.parquet" for i in range(2))]
    output.mkdir()
    # What is there is not made again, and what a killed process left behind is not taken for a result.
    (output / names[1]).write_bytes(b"kept")
    (output / f".{names[0]}.dynexec-left").write_bytes(b"half")
    assert predict_files(chat_export, source, output, **arguments) == 4
    assert sorted(path.name for path in output.iterdir()) == names
    assert (output / names[1]).read_bytes() == b"kept"
    tables = [pyarrow.parquet.read_table(output / name) for name in names if name != names[1]]
    assert [table["prompt"].to_pylist() for table in tables] == [PROMPTS[:2], PROMPTS[4:], PROMPTS[:2], PROMPTS[2:3]]
    assert tables[0]["generated_text"].to_pylist() == tables[2]["generated_text"].to_pylist() != ["", ""]
    assert predict_files(chat_export, source, output, **arguments) == 0


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(ServeError, match="must be a file or a directory with files that end in .jsonl or .parquet"):
        predict_files("x", tmp_path, tmp_path / "out")
