"""StepSaver: labels, the guarantee, and from prompts to `num_inference_steps="auto"`."""

import json
import shutil

import numpy as np
import openvino as ov
import pytest
import torch

from optimum_dynexec import DynExecDiffusionPipeline
from optimum_dynexec.diffusion.step_saver import LABEL_RULES, StepPredictor, StepSaverConfig, sweep, train_steps
from optimum_dynexec.diffusion.step_saver.conformal import one_sided_offset, round_up
from optimum_dynexec.diffusion.step_saver.export import to_openvino
from optimum_dynexec.diffusion.step_saver.predictor import StepPredictorModule, make_encoder, pinball_loss
from optimum_dynexec.diffusion.step_saver.similarity import ssim
from optimum_dynexec.diffusion.step_saver.training import fit
from tests.diffusion.calls import PROMPTS, call
from tests.diffusion.tiny_pipelines import clip_tokenizer


STEPS = [1, 2, 4, 8]


def fading(noise: list[float]) -> np.ndarray:
    """A picture with more or less noise."""
    generator = np.random.default_rng(0)
    picture = np.tile(np.linspace(60, 190, 16), (16, 1))[..., None].repeat(3, axis=-1)
    grain = generator.normal(size=picture.shape)
    return np.stack([np.clip(picture + level * grain, 0, 255).astype(np.uint8) for level in noise])


def test_similarity_is_that_of_its_definition():
    first, second = fading([5.0, 40.0])
    assert ssim(first, first) == 1
    assert 0 < ssim(first, second) < 0.9
    assert ssim(first, second) == pytest.approx(ssim(second, first))
    assert ssim(first[:6, :6], first[:6, :6]) == 1


@pytest.mark.parametrize(
    ("noise", "needed"),
    [
        ([90, 40, 0, 0], 4),
        ([0, 0, 0, 0], 1),
        ([90, 90, 90, 0], 8),
        ([90, 0, 90, 0], 8),  # one that is alike by chance does not count
    ],
)
def test_similarity_rule(noise, needed):
    assert LABEL_RULES["similarity"](fading(noise), STEPS, 0.95) == needed


def test_first_drop_rule():
    # Successive pictures grow more alike up to the third, then less.
    assert LABEL_RULES["first_drop"](fading([90, 40, 35, 90]), STEPS, 0.0) == 4
    assert LABEL_RULES["first_drop"](fading([90, 40, 35, 35]), STEPS, 0.0) == 8
    assert LABEL_RULES["first_drop"](fading([90, 40, 35, 90]), STEPS, 1.0) == 8


def short_share(offset_of, delta: float, repeats: int = 4000, count: int = 29) -> float:
    """How often a prediction falls short of a new observation, over repeated calibrations of a poor predictor."""
    generator = np.random.default_rng(0)
    short = 0
    for _ in range(repeats):
        predicted, needed = generator.normal(size=(2, count + 1))
        offset = offset_of(predicted[:-1], needed[:-1], delta)
        short += predicted[-1] + offset < needed[-1]
    return short / repeats


@pytest.mark.parametrize("delta", [0.1, 0.2, 0.5])
def test_predictions_fall_short_no_more_often_than_allowed(delta):
    share = short_share(one_sided_offset, delta)
    slack = 4 * np.sqrt(delta * (1 - delta) / 4000)
    assert share <= delta + slack
    assert share >= delta - slack - 1 / 30  # and hardly less often


def test_an_offset_that_forgets_the_new_observation_is_caught():
    def mutant(predicted, needed, delta):
        return np.quantile(needed - predicted, 1 - delta, method="lower")

    assert short_share(mutant, 0.1) > 0.1 + 4 * np.sqrt(0.1 * 0.9 / 4000)


def test_too_few_to_calibrate_on():
    assert one_sided_offset(np.zeros(8), np.arange(8), 0.1) is None
    assert one_sided_offset(np.zeros(9), np.arange(9), 0.1) == 8
    assert one_sided_offset(np.zeros(0), np.zeros(0), 0.5) is None
    assert round_up(np.array([0.0, 1.0]), None, STEPS) == [8, 8]


def test_rounding_up():
    logs = np.log2([1, 1.5, 2, 3, 4, 100])
    assert round_up(logs, 0.0, STEPS) == [1, 2, 2, 4, 4, 8]
    assert round_up(logs, 1.0, STEPS) == [2, 4, 4, 8, 8, 8]


def test_pinball_loss_is_least_at_the_quantiles():
    needed = torch.arange(1.0, 101.0)

    def loss(*levels):
        return pinball_loss(torch.tensor([levels]).expand(100, 3), needed)

    best = loss(50.5, 75.5, 90.5)
    assert best < loss(40.0, 75.5, 90.5)
    assert best < loss(50.5, 85.0, 90.5)
    assert best < loss(50.5, 75.5, 99.0)


def test_the_exported_predictor_is_the_trained_one():
    torch.manual_seed(0)
    module = StepPredictorModule(make_encoder(None, clip_tokenizer()), 3.5).eval()
    torch.nn.init.normal_(module.head.weight)
    torch.nn.init.normal_(module.head.bias)
    input_ids = torch.randint(0, 300, (3, 9))
    mask = torch.tensor([[1] * 9, [1] * 4 + [0] * 5, [1] + [0] * 8])
    with torch.no_grad():
        expected = module(input_ids, mask)
    assert (expected.diff(dim=1) >= 0).all()
    assert (expected[0] - expected[1]).abs().max() > 1e-2
    compiled = ov.Core().compile_model(to_openvino(module), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled({"input_ids": input_ids.numpy(), "attention_mask": mask.numpy()})[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_an_encoder_to_fine_tune(tmp_path):
    """Learns to tell two words apart, from the weights that it is given."""
    own = make_encoder(None, clip_tokenizer())
    own.save_pretrained(tmp_path)
    encoder = make_encoder(tmp_path, None)
    for name, value in own.state_dict().items():
        assert torch.equal(encoder.state_dict()[name], value)
    needed = np.tile([2.0, 5.0], 20)
    input_ids = torch.tensor([[510, 3, 511], [510, 7, 511]]).repeat(20, 1)
    module = StepPredictorModule(encoder, float(needed.mean()))
    loss = fit(module, input_ids, torch.ones_like(input_ids), needed, epochs=30, batch_size=8)
    assert loss < 0.2
    with torch.no_grad():
        median = module(input_ids[:2], torch.ones_like(input_ids[:2]))[:, 0]
    assert median[0] < 3 < 4 < median[1]


@pytest.fixture(scope="module")
def trained(tiny_diffusion, tmp_path_factory):
    """A pipeline with a predictor, its configuration, and the prompts of the sweep. Not to be changed by a test."""
    directory = tmp_path_factory.mktemp("trained") / "pipeline"
    shutil.copytree(tiny_diffusion("stable-diffusion"), directory)
    prompts = [f"{prompt} {number}" for prompt in PROMPTS for number in range(2)]
    options = {"steps": [1, 2, 3], "tau": 0.9, "delta": 0.3, "epochs": 2, "guidance_scale": 2.0}
    return directory, train_steps(directory, prompts, **options), prompts


def test_training_writes_a_predictor_beside_the_pipeline(trained):
    directory, config, prompts = trained
    assert StepSaverConfig.from_pretrained(directory / "step_saver") == config
    assert config.offset is not None
    assert config.metrics["prompts"] == 14
    assert config.metrics["calibration_coverage"] >= 0.7
    assert config.call == {"guidance_scale": 2.0, "scheduler": "DDIMScheduler", "seed": 0}
    predictor = StepPredictor.beside(directory)
    predicted = predictor.predict(prompts)
    assert set(predicted) <= {1, 2, 3}
    assert [predictor.predict([prompt])[0] for prompt in prompts] == predicted
    assert len(predictor.predict([" ".join(prompts * 9)])) == 1


def test_an_interrupted_sweep_goes_on_where_it_was(load, monkeypatch, tmp_path):
    pipeline, made, pictures = load("stable-diffusion"), [], sweep._pictures
    monkeypatch.setattr(sweep, "_pictures", lambda *args: made.append((args[1], args[2])) or pictures(*args))

    def run(prompts=PROMPTS, seed=0, key="a", **call):
        made.clear()
        return sweep.sweep(pipeline, prompts, [1, 3], tmp_path, {"key": key}, seed, batch_size=4, **call)

    def stop(*args):
        made.append(args)
        if len(made) == 3:
            raise KeyboardInterrupt
        return pictures(*args)

    with monkeypatch.context() as patch:
        patch.setattr(sweep, "_pictures", stop)
        with pytest.raises(KeyboardInterrupt):
            run()
    full = run()
    # The first batch had been made at both counts; of the second, nothing is kept.
    assert made == [(PROMPTS[4:], 1), (PROMPTS[4:], 3)]
    assert full.shape == (7, 2, 16, 16, 3)
    assert full.dtype == np.uint8
    np.testing.assert_array_equal(run(), full)
    assert not made
    # A prompt's pictures do not depend on what it is made with, but on all else that is said.
    np.testing.assert_array_equal(run(PROMPTS[:2][::-1]), full[:2][::-1])
    assert not made
    (tmp_path / "other").mkdir()
    alone = sweep.sweep(pipeline, PROMPTS[5:6], [1, 3], tmp_path / "other", {"key": "a"}, 0)
    assert np.abs(alone[0].astype(int) - full[5]).max() <= 1
    for options in ({"seed": 1}, {"key": "b"}, {"guidance_scale": 2.0}):
        run(PROMPTS[:1], **options)
        assert len(made) == 2


def test_steps_by_prompt(trained):
    directory = trained[0]
    pipeline = DynExecDiffusionPipeline.from_pretrained(directory, export=False)
    predicted = pipeline.step_predictor.predict(PROMPTS[:3])
    output = call(pipeline, "stable-diffusion", 3, "auto")
    assert output.dynexec.steps_predicted == predicted
    assert output.dynexec.steps_planned == max(predicted)
    expected = call(pipeline, "stable-diffusion", 3, max(predicted))
    np.testing.assert_array_equal(output.images, expected.images)
    positional = pipeline(PROMPTS[0], 16, 16, "auto", output_type="np")
    assert positional.dynexec.steps_planned == positional.dynexec.steps_predicted[0]
    assert "step_predictor" in positional.dynexec.seconds
    with pytest.raises(ValueError, match="`num_inference_steps` must be a whole number or 'auto', but it is 'fast'"):
        call(pipeline, "stable-diffusion", 1, "fast")
    with pytest.raises(ValueError, match="needs a `prompt`"):
        call(pipeline, "stable-diffusion", 1, "auto", prompt=None, prompt_embeds=torch.zeros(1, 16, 16))


def test_a_saved_pipeline_keeps_its_predictor(trained, tmp_path):
    directory, config, _ = trained
    DynExecDiffusionPipeline.from_pretrained(directory, export=False).save_pretrained(tmp_path)
    assert StepPredictor.beside(tmp_path).config == config


def test_without_a_predictor(load):
    with pytest.raises(FileNotFoundError, match="train one with `optimum-cli dynexec train-steps"):
        call(load("stable-diffusion"), "stable-diffusion", 1, "auto")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "guess"}, "`rule` must be one of"),
        ({"steps": [4, 2]}, "`steps` must be ascending"),
        ({"steps": [4]}, "two or more"),
        ({"tau": 2}, "`tau` must be a number from 0 to 1"),
        ({"delta": 0}, "`delta`"),
        ({"prompts": ["a", "a", "b"]}, "different prompts, but there are 2"),
    ],
)
def test_wrong_arguments(tiny_diffusion, options, message):
    with pytest.raises(ValueError, match=message):
        train_steps(tiny_diffusion("stable-diffusion"), **{"prompts": PROMPTS * 2, **options})


def test_a_damaged_configuration_names_the_file(tmp_path):
    for content in ("{", "[]", json.dumps({"steps": [1]}), json.dumps({"other": 1})):
        (tmp_path / "step_saver_config.json").write_text(content)
        with pytest.raises(ValueError, match=r"step_saver_config\.json"):
            StepSaverConfig.from_pretrained(tmp_path)
