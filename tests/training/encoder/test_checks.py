"""What is said before anything is exported, run or trained."""

import json
import shutil

import pytest
from transformers import AutoConfig

from optimum_dynexec.data.samples import Samples
from optimum_dynexec.training import EncoderTrainingArguments, train_encoder_heads
from optimum_dynexec.training.encoder.checks import check_classifier, check_trained, untrained_weights
from optimum_dynexec.training.encoder.scores import ExitScores, score_line, score_warnings


def test_untrained_weights(tiny_encoder_hf):
    bare = tiny_encoder_hf("bert", "feature-extraction")
    assert untrained_weights(bare, "text-classification") == ["classifier.bias", "classifier.weight"]
    assert untrained_weights(bare, "feature-extraction") == []
    assert untrained_weights(tiny_encoder_hf("bert"), "text-classification") == []
    with pytest.raises(ValueError, match="was not trained for the task 'token-classification'.* Do something else"):
        check_trained(bare, "token-classification", "Do something else")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"problem_type": "multi_label_classification"}, "this model is for multi_label_classification"),
        ({"problem_type": "regression"}, "this model is for regression"),
        ({"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}, "this model is for regression with 1 label"),
    ],
)
@pytest.mark.parametrize("recipe", ["frozen", "joint"])
def test_models_without_one_label_of_several(tiny_encoder, tiny_encoder_hf, tmp_path, changes, message, recipe):
    """Said before a hidden state is computed: nothing is written."""
    source = tmp_path / "model"
    shutil.copytree(tiny_encoder("bert") if recipe == "frozen" else tiny_encoder_hf("bert"), source)
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, **changes}))
    (tmp_path / "a.csv").write_text("text,label\n" + "one,0\ntwo,0\n" * 4)
    with pytest.raises(ValueError, match=message):
        train_encoder_heads(
            source,
            tmp_path / "heads",
            task="text-classification",
            data=[tmp_path / "a.csv"],
            training_arguments=EncoderTrainingArguments(recipe=recipe),
        )
    assert not (tmp_path / "heads").exists()


def test_labels_are_known(tiny_encoder_hf):
    config = AutoConfig.from_pretrained(tiny_encoder_hf("bert"))
    check_classifier(config, "text-classification", Samples(["a"]), Samples(["a"], None, ["class_1"]))
    with pytest.raises(ValueError, match="the label 'sad', but the labels of the model are"):
        check_classifier(config, "text-classification", Samples(["a"], None, ["sad"]))
    check_classifier(config, "token-classification", Samples(["a"], None, ["sad"]))


def test_scores_show_what_is_wrong_with_the_full_model():
    full = ExitScores(None, 0.855, 200)
    assert score_line("full model", full).startswith("full model: accuracy 85.5% (95% interval 79.8% to 90.1%)")
    better = {"exit_head_1": ExitScores(0.9, 0.95, 200), "exit_head_0": ExitScores(0.9, 0.89, 200)}
    (warning,) = score_warnings(better, full, 0.5)
    assert "exit_head_1 is right more often (95.0%, 95% interval 91.0% to 97.6%) than the full model, 85.5%" in warning
    # Within the interval, it may be by chance.
    assert score_warnings({"exit_head_0": better["exit_head_0"]}, full, 0.5) == []
    # The intervals of the two must not overlap.
    assert score_warnings({"exit_head_0": ExitScores(0.9, 0.905, 200)}, full, 0.5) == []
    # A model that is not better than the most frequent label says nothing about its exits.
    (warning,) = score_warnings(better, ExitScores(None, 0.52, 200), 0.5)
    assert "is not shown to be above that of always answering the most frequent label, 50.0%" in warning
    (warning,) = score_warnings({}, ExitScores(None, None, 10), None)
    assert warning.startswith("only 10 held-out samples")
    assert score_warnings(better, ExitScores(None, None, 200), None) == []
