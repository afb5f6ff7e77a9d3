"""Early exit of whole samples on a tiny BERT: who leaves where, whatever the batch is like."""

import threading

import numpy as np
import pytest
import torch
from transformers import pipeline

from optimum_dynexec import DynExecModelForSequenceClassification, EarlyExitConfig
from optimum_dynexec.early_exit import ExitStatistics
from optimum_dynexec.early_exit.criteria import CRITERIA
from optimum_dynexec.early_exit.statistics import reference_statistics
from tests.encoder_heads import random_encoder_heads


LENGTHS = [5, 20, 7, 12, 3, 9, 1, 16]
LAYERS = [0, 1, 2]
LAST = 3
NEVER, ALWAYS = EarlyExitConfig("patience", 99), EarlyExitConfig(threshold=0.0)


def texts(lengths: list[int] = LENGTHS, side: str = "right", seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    size = torch.tensor(lengths)[:, None]
    place = torch.arange(max(lengths))[None]
    mask = (place < size if side == "right" else place >= max(lengths) - size).long()
    return {"input_ids": torch.randint(3, 300, mask.shape, generator=generator) * mask, "attention_mask": mask}


def rows(inputs: dict[str, torch.Tensor], which) -> dict[str, torch.Tensor]:
    return {name: value[which] for name, value in inputs.items()}


@pytest.fixture(scope="module")
def directory(tiny_encoder):
    return tiny_encoder("bert")


@pytest.fixture(scope="module")
def model(directory):
    return DynExecModelForSequenceClassification.from_pretrained(directory, precision="exact")


@pytest.fixture(scope="module")
def said(model):
    """Logits of each exit and, last, of the full model: float32 `[exits + 1, samples, labels]`."""
    return torch.stack([found["logits"] for _, found in sorted(model.exit_logits(**texts()).items())])


@pytest.fixture(scope="module")
def median(said) -> EarlyExitConfig:
    """Of each exit, so that about half of the samples that come there leave."""
    medians = said[:-1].softmax(-1).amax(-1).quantile(0.5, dim=1)
    return EarlyExitConfig(thresholds=dict(zip(LAYERS, medians.tolist(), strict=True)))


@pytest.fixture(scope="module")
def some_leave(model, median):
    found = model(**texts(), early_exit=median)
    assert len(set(found.exit_layer.tolist())) >= 3, "samples that all leave at the same place show little"
    return found


def same(found, expected) -> None:
    assert found.exit_layer.tolist() == expected.exit_layer.tolist()
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.confidence, expected.confidence, rtol=1e-4, atol=1e-4)


def expected_layers(statistics: ExitStatistics, criterion: str, thresholds: list[float]) -> list[int]:
    """Where samples leave, by the criterion's definition in Python."""
    kind = CRITERIA[criterion]()
    passes = kind.passes(kind.scores(statistics), np.array(thresholds))
    return [LAYERS[int(np.argmax(row))] if row.any() else LAST for row in passes]


@pytest.mark.parametrize(
    ("criterion", "threshold"),
    [("max_prob", None), ("margin", None), ("entropy", None), ("patience", 1), ("patience", 2), ("vote", 2)],
)
def test_criteria_decide_as_their_definition_says(model, said, criterion, threshold):
    statistics = reference_statistics([exit.numpy() for exit in said[:-1]])
    if threshold is None:
        # Between two scores, so that the last bit decides nothing.
        scores = np.sort(CRITERIA[criterion]().scores(statistics).ravel())
        threshold = float(scores[len(scores) // 2 - 1 : len(scores) // 2 + 1].mean())
    found = model(**texts(), early_exit=EarlyExitConfig(criterion, threshold))
    expected = expected_layers(statistics, criterion, [threshold] * 3)
    assert found.exit_layer.tolist() == expected
    assert len(set(expected)) > 1
    by_layer = {layer: index for index, layer in enumerate([*LAYERS, LAST])}
    wanted = torch.stack([said[by_layer[layer], i] for i, layer in enumerate(expected)])
    torch.testing.assert_close(found.logits, wanted, rtol=1e-4, atol=1e-4)


def test_thresholds_by_layer(model, said):
    found = model(**texts(), early_exit=EarlyExitConfig(thresholds={1: 0.0}))
    assert set(found.exit_layer.tolist()) == {1}
    assert model.last_stats.exit_histogram == {0: 0, 1: len(LENGTHS), 2: 0, 3: 0}
    torch.testing.assert_close(found.logits, said[1], rtol=1e-4, atol=1e-4)
    # A criterion that looks back sees exits where nothing leaves.
    patience = EarlyExitConfig("patience", thresholds={2: 2})
    statistics = reference_statistics([exit.numpy() for exit in said[:-1]])
    expected = expected_layers(statistics, "patience", [np.inf, np.inf, 2])
    assert model(**texts(), early_exit=patience).exit_layer.tolist() == expected


def test_all_leave_at_the_first_exit(model, said):
    found = model(**texts(), early_exit=ALWAYS)
    assert found.exit_layer.tolist() == [0] * len(LENGTHS)
    torch.testing.assert_close(found.logits, said[0], rtol=1e-4, atol=1e-4)
    assert model.last_stats.segment_rows == [len(LENGTHS), 0, 0, 0]
    assert model.last_stats.mean_exit_layer == 0


def test_none_leaves(model):
    found = model(**texts(), early_exit=NEVER)
    assert found.exit_layer.tolist() == [LAST] * len(LENGTHS)
    torch.testing.assert_close(found.logits, model(**texts()).logits, rtol=1e-4, atol=1e-4)
    assert model.last_stats.segment_rows == [len(LENGTHS)] * 4


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_order_of_the_batch(model, median, some_leave, seed):
    order = torch.randperm(len(LENGTHS), generator=torch.Generator().manual_seed(seed))
    found = model(**rows(texts(), order), early_exit=median)
    same(found, type(found)(**{name: value[order] for name, value in some_leave.items()}))
    # The check sees a swap.
    with pytest.raises(AssertionError):
        same(found, some_leave)


def test_each_alone(model, median, some_leave):
    for i, length in enumerate(LENGTHS):
        alone = {name: value[i : i + 1, :length] for name, value in texts().items()}
        found = model(**alone, early_exit=median)
        same(found, type(found)(**{name: value[i : i + 1] for name, value in some_leave.items()}))


@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_of_survivors_is_dropped(model, median, side):
    inputs = texts(side=side)
    said = torch.stack([found["logits"] for _, found in sorted(model.exit_logits(**inputs).items())])
    found = model(**inputs, early_exit=median)
    thresholds = torch.tensor([*median.thresholds.values(), 0.0])[:, None]
    expected = (said.softmax(-1).amax(-1) >= thresholds).int().argmax(0)
    assert len(set(expected.tolist())) > 1
    assert found.exit_layer.tolist() == expected.tolist()
    wanted = torch.stack([said[layer, i] for i, layer in enumerate(expected)])
    torch.testing.assert_close(found.logits, wanted, rtol=1e-4, atol=1e-4)
    for segment, places in enumerate(model.last_stats.segment_places):
        lengths = [length for length, layer in zip(LENGTHS, expected, strict=True) if layer >= segment]
        # What is before the first token stays: the model, and the heads, look at the first place.
        longest = max(lengths, default=0) if side == "right" else max(LENGTHS)
        assert places == len(lengths) * longest


def test_more_padding_than_any_text_needs(model, median, some_leave):
    inputs = {name: torch.nn.functional.pad(value, (0, 13)) for name, value in texts().items()}
    same(model(**inputs, early_exit=median), some_leave)
    assert model.last_stats.segment_places[0] == len(LENGTHS) * max(LENGTHS)


def test_a_text_without_tokens_does_not_disturb_others(model, median, some_leave):
    inputs = texts()
    empty = {name: torch.zeros(1, value.shape[1], dtype=value.dtype) for name, value in inputs.items()}
    found = model(**{name: torch.cat([value, empty[name]]) for name, value in inputs.items()}, early_exit=median)
    same(type(found)(**{name: value[:-1] for name, value in found.items()}), some_leave)


@pytest.mark.parametrize("early_exit", [None, ALWAYS])
def test_empty_batch(model, early_exit):
    found = model(**rows(texts(), slice(0, 0)), early_exit=early_exit)
    assert found.logits.shape == (0, 3)
    if early_exit is not None:
        assert found.exit_layer.shape == found.confidence.shape == (0,)


def test_arrays_in_arrays_out(model, median, some_leave):
    found = model(**{name: value.numpy() for name, value in texts().items()}, early_exit=median)
    assert all(isinstance(value, np.ndarray) for value in found.values())
    np.testing.assert_allclose(found.logits, some_leave.logits.numpy(), rtol=1e-4, atol=1e-4)


def test_nan_leaves_nowhere(directory, tmp_path, said):
    heads = random_encoder_heads(directory, [0, 1], tmp_path / "nan", scale=float("nan"))
    model = DynExecModelForSequenceClassification.from_pretrained(directory, precision="exact", heads=heads)
    found = model(**texts(), early_exit=ALWAYS)
    assert found.exit_layer.tolist() == [2] * len(LENGTHS)
    torch.testing.assert_close(found.logits, said[2], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_ids": torch.ones(3, dtype=torch.long)}, "`input_ids` must have the shape"),
        ({"input_ids": torch.ones(2, 3, 4, dtype=torch.long)}, "`input_ids` must have the shape"),
        ({"attention_mask": torch.ones(2, 4, dtype=torch.long)}, "same number of samples and positions"),
        ({"attention_mask": torch.ones(3, 5, dtype=torch.long)}, "same number of samples and positions"),
        ({"token_type_ids": torch.ones(2, 6, dtype=torch.long)}, "same number of samples and positions"),
    ],
)
def test_wrong_shapes(model, median, some_leave, change, message):
    ids = torch.full((2, 5), 7)
    with pytest.raises(ValueError, match=message):
        model(**{"input_ids": ids, "attention_mask": torch.ones_like(ids), **change}, early_exit=median)
    same(model(**texts(), early_exit=median), some_leave)


@pytest.mark.parametrize("batch_size", [1, 3, 8, 100])
def test_streams_give_what_calls_give(model, median, some_leave, batch_size):
    samples = ({name: value[i, :length] for name, value in texts().items()} for i, length in enumerate(LENGTHS))
    found = list(model.stream(samples, batch_size=batch_size, early_exit=median))
    assert len(found) == len(LENGTHS)
    same(type(found[0])(**{name: torch.cat([one[name] for one in found]) for name in found[0]}), some_leave)
    assert model.last_stats.samples == len(LENGTHS)


def test_streams_keep_segments_full(model, median):
    inputs = texts([9] * 64, seed=3)
    samples = [rows(inputs, i) for i in range(64)]
    whole = model(**inputs, early_exit=median)
    found = list(model.stream(samples, batch_size=8, early_exit=median, max_waiting=64))
    same(type(whole)(**{name: torch.cat([one[name] for one in found]) for name in whole}), whole)
    stats = model.last_stats
    deep = stats.segment_rows[-1]
    assert 0 < deep < 64, "some have to leave and some to stay"
    assert stats.segment_passes == [-(-count // 8) for count in stats.segment_rows]


def test_streams_do_not_wait_for_ever(model, median, some_leave):
    """A sample that goes deep gets through while easy ones come: what waits is bounded."""
    deepest = some_leave.exit_layer.argmax()
    first = int(some_leave.exit_layer.argmin())
    order = [int(deepest), *([first] * 40)]
    samples = ({name: value[i, : LENGTHS[i]] for name, value in texts().items()} for i in order)
    taken, pulled = [], 0

    def counted():
        nonlocal pulled
        for sample in samples:
            pulled += 1
            yield sample

    for output in model.stream(counted(), batch_size=2, early_exit=median, max_waiting=4):
        taken.append((pulled, int(output.exit_layer)))
    assert taken[0][1] == int(some_leave.exit_layer[deepest])
    assert taken[0][0] <= 10


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"input_ids": [[1, 2], [3, 4]]}, "must be one sample"),
        ({"attention_mask": [1, 1]}, "`input_ids` is missing"),
    ],
)
def test_streams_refuse(model, median, sample, message):
    with pytest.raises(ValueError, match=message):
        list(model.stream([sample], early_exit=median))


def test_streams_need_an_early_exit(model):
    with pytest.raises(ValueError, match="give `early_exit`"):
        next(model.stream([{"input_ids": [1]}]))


def test_calls_from_several_threads(model, median, some_leave):
    found, errors = [], []

    def call():
        try:
            found.append(model(**texts(), early_exit=median))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for one in found:
        same(one, some_leave)


def test_early_exit_of_the_model(directory, median, some_leave):
    model = DynExecModelForSequenceClassification.from_pretrained(directory, precision="exact", early_exit=median)
    same(model(**texts()), some_leave)
    assert "exit_layer" not in model(**texts(), early_exit=None)
    assert model(**texts(), early_exit=ALWAYS).exit_layer.tolist() == [0] * len(LENGTHS)


def test_the_plain_model_of_optimum_intel_can_be_asked(directory):
    early = DynExecModelForSequenceClassification.from_pretrained(directory, early_exit=ALWAYS)
    assert early.__dict__["request"] is None
    assert [output.any_name for output in early.request.outputs] == ["logits"]


def test_pipeline(directory, median, tiny_tokenizer):
    plain = DynExecModelForSequenceClassification.from_pretrained(directory, precision="exact")
    early = DynExecModelForSequenceClassification.from_pretrained(directory, precision="exact", early_exit=median)
    sentences = ["The fox runs.", "She sells sea shells by the sea shore, and the shells she sells are sea shells."]
    found = pipeline("text-classification", model=early, tokenizer=tiny_tokenizer)(sentences)
    expected = [early(**tiny_tokenizer(text, return_tensors="pt")) for text in sentences]
    for one, output in zip(found, expected, strict=True):
        label = int(output.logits.argmax())
        assert one["label"] == f"class_{label}"
        assert one["score"] == pytest.approx(float(output.logits.softmax(-1)[0, label]), abs=1e-4)
    assert early.last_stats is not None
    assert len(pipeline("text-classification", model=plain, tokenizer=tiny_tokenizer)(sentences)) == 2


def test_saved_and_loaded_again(model, median, some_leave, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    again = DynExecModelForSequenceClassification.from_pretrained(tmp_path / "saved", precision="exact")
    assert again.dynexec_config.task == "text-classification"
    same(again(**texts(), early_exit=median), some_leave)
    again.save_pretrained(tmp_path / "saved")
    same(again(**texts(), early_exit=median), some_leave)


def test_fewer_exits_than_heads(directory):
    model = DynExecModelForSequenceClassification.from_pretrained(directory, precision="exact", exit_layers=[1])
    assert model(**texts(), early_exit=ALWAYS).exit_layer.tolist() == [1] * len(LENGTHS)
    assert len(model.last_stats.segment_rows) == 2


@pytest.mark.parametrize(
    ("early_exit", "message"),
    [
        (EarlyExitConfig(thresholds={7: 0.5}), "has a threshold for layer 7"),
        (EarlyExitConfig("settled", 0.9), "cannot be used with this model"),
        (EarlyExitConfig("learned", 0.9), "The criterion .learned. needs exit heads"),
        (EarlyExitConfig("classifier", 0.9), "needs learned weights"),
    ],
)
def test_criteria_that_do_not_fit(model, early_exit, message):
    with pytest.raises(ValueError, match=message):
        model(**texts(), early_exit=early_exit)


@pytest.mark.parametrize("early_exit", [0.9, "as tuned", {"threshold": 0.9}], ids=str)
def test_something_else_than_an_early_exit(model, early_exit):
    accepted = r"`early_exit` must be an EarlyExitConfig, .*, 'calibrated', 'tuned' or None, got"
    for run in (model, lambda early_exit, **inputs: list(model.stream([inputs], early_exit=early_exit))):
        with pytest.raises(ValueError if isinstance(early_exit, str) else TypeError, match=accepted):
            run(**texts(), early_exit=early_exit)


@pytest.mark.parametrize("early_exit", [None, ALWAYS])
def test_texts_that_are_no_tokens(model, early_exit):
    with pytest.raises(TypeError, match="`input_ids` must be a torch.Tensor or np.ndarray, .* got str"):
        model("a text", early_exit=early_exit)


def test_statistics_of_a_call_are_its_own(model):
    """An attribute of the output, and no field: pipelines split the fields of an output by samples."""
    outputs = [model(**rows(texts(), slice(0, n)), early_exit=ALWAYS) for n in (2, 5)]
    assert [output.dynexec.samples for output in outputs] == [2, 5]
    assert outputs[1].dynexec is model.last_stats
    assert "dynexec" not in outputs[0]
    assert model(**texts(), early_exit=None).dynexec is None


@pytest.mark.parametrize("problem", ["regression", "multi_label_classification"])
def test_problems_without_one_label_of_several(directory, problem):
    model = DynExecModelForSequenceClassification.from_pretrained(directory, compile=False)
    model.config.problem_type = problem
    with pytest.raises(ValueError, match="one label of several"):
        model(**texts(), early_exit=ALWAYS)


def test_model_without_heads(directory):
    model = DynExecModelForSequenceClassification.from_pretrained(directory, compile=False, exit_layers=[])
    with pytest.raises(ValueError, match="needs exit heads"):
        model(**texts(), early_exit=ALWAYS)


def test_heads_that_know_how_certain_they_are(directory, tmp_path):
    heads = random_encoder_heads(directory, [0, 2], tmp_path / "heads", certainty=True, scale=0.3)
    model = DynExecModelForSequenceClassification.from_pretrained(
        directory, precision="exact", heads=heads, exit_layers=[0, 2]
    )
    said = model.exit_logits(**texts())
    certainty = torch.cat([said[layer]["dynexec.certainty"] for layer in (0, 2)], dim=1)
    threshold = float(certainty.median()) + 1e-6
    found = model(**texts(), early_exit=EarlyExitConfig("learned", threshold))
    expected = [
        next((layer for layer, value in zip((0, 2), row, strict=True) if value >= threshold), LAST)
        for row in certainty
    ]
    assert found.exit_layer.tolist() == expected
    assert len(set(expected)) > 1
