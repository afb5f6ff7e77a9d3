"""Early exit proper: tokens leave the model before its last layer."""

import shutil
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from optimum_dynexec import export_dynexec
from optimum_dynexec.early_exit import EarlyExitConfig, criterion_names
from optimum_dynexec.early_exit.criteria.classifier import ClassifierCriterion
from optimum_dynexec.heads.storage import save_head
from optimum_dynexec.native import _C
from tests.heads.reference import random_head
from tests.speculative.tiny_exits import HIDDEN, LAYERS, VOCABULARY, load_with_heads, save_exit_head, save_model
from tests.tiny_models import TEXT, build_tokenizer


# How much the later layers matter; the kind of the heads; their words, or those of each.
CASES = {
    "norm": (0.3, "norm", None),
    "block": (0.3, "block", None),
    "few_words": (0.3, "block", range(VOCABULARY - 1, 100, -1)),
    "perfect": (0.0, "block", None),
    "words_of_their_own": (0.3, "block", {0: range(100, VOCABULARY, 2), 2: range(101, VOCABULARY, 2)}),
}
NEW = 40
PLAIN = {"do_sample": False, "min_new_tokens": NEW, "max_new_tokens": NEW, "speculation": "off"}
CRITERIA = {"max_prob": (1.0, 0.0), "margin": (1.0, 0.0), "entropy": (0.0, 20.0), "patience": (2, 1)}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """`models(name)`: one of `CASES`, with exit heads after the layers 0 and 2."""
    base, made = tmp_path_factory.mktemp("exits"), {}

    def get(name):
        if name not in made:
            late, kind, words = CASES[name]
            torch_model = save_model(base / f"hf-{name}", late)
            build_tokenizer().save_pretrained(base / f"hf-{name}")
            export_dynexec(base / f"hf-{name}", base / name, weight_format="fp32")
            for layer in (0, 2):
                known = words[layer] if isinstance(words, dict) else words
                save_exit_head(base / f"heads-{name}", torch_model, kind, layer, known, noise=0.3 * (late > 0))
            made[name] = load_with_heads(base / name, base / f"heads-{name}")
        return made[name]

    return get


def encode(*texts):
    return build_tokenizer()(list(texts), return_tensors="pt", return_token_type_ids=False, padding=True)


def leave(criterion, threshold, **options):
    return EarlyExitConfig(criterion=criterion, threshold=threshold, **options)


def generate(model, inputs, early_exit, **arguments):
    arguments = {**PLAIN, **arguments}
    del arguments["speculation"]
    out = model.generate(**inputs, **arguments, early_exit=early_exit)
    for paged in (model.engine.paged_model, *(head.paged_model for head in model.engine.exit_heads.values())):
        assert paged.free_blocks == paged.num_blocks
    return out


@pytest.mark.parametrize("texts", [TEXT[:1], (TEXT[1], "a", TEXT[3][:20])], ids=["one", "three"])
@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("name", CASES)
def test_where_nothing_may_leave_the_output_is_the_models(name, criterion, texts, models):
    model, inputs = models(name), encode(*texts)
    never = dict.fromkeys((0, 2), CRITERIA[criterion][0])
    config = EarlyExitConfig(criterion=criterion, thresholds=never)
    expected = model.generate(**inputs, **PLAIN)
    if criterion == "patience":  # of two exits, none can wait for two others
        assert torch.equal(generate(model, inputs, config), expected)
        assert model.last_stats.exit_histogram == {0: 0, 2: 0, LAYERS - 1: NEW * len(texts)}
    for prefill in (False, True):
        out = generate(model, inputs, replace(config, prefill=prefill))
        histogram = model.last_stats.exit_histogram
        assert sum(histogram.values()) == NEW * len(texts)
        # A softmax may be 1 in float32, an entropy 0.
        if histogram[LAYERS - 1] == NEW * len(texts):
            assert torch.equal(out, expected)
    assert model.last_stats.mean_exit_layers > LAYERS - 1


@pytest.mark.parametrize("name", CASES)
def test_where_everything_may_leave_only_the_first_layers_are_run(name, models):
    model, inputs = models(name), encode(TEXT[0])
    before = np.array(model.engine.paged_model.rows_run)
    generate(model, inputs, leave("max_prob", 0.0))
    prompt = inputs["input_ids"].shape[1]
    # The first token comes with the prompt, which runs whole.
    assert model.last_stats.exit_histogram == {0: NEW - 1, 2: 0, LAYERS - 1: 1}
    assert (np.array(model.engine.paged_model.rows_run) - before).tolist() == [prompt + NEW - 1, prompt, prompt]
    generate(model, inputs, leave("max_prob", 0.0, prefill=True))
    assert model.last_stats.exit_histogram == {0: NEW, 2: 0, LAYERS - 1: 0}
    assert model.last_stats.mean_exit_layers == 1.0


@pytest.mark.parametrize("rows", [1, 3, 4, 5])
def test_the_first_token_follows_from_the_whole_prompt_however_it_is_split(rows, models, monkeypatch):
    """Even if a pass leaves one token of the prompt over, which then is run as if it had just been generated."""
    model, inputs = models("norm"), {"input_ids": torch.tensor([[5, 6, 7, 8, 9]])}
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    expected = generate(model, inputs, leave("max_prob", 0.0))
    monkeypatch.setattr(model.engine, "loop", _C.DecodeLoop(model.engine.paged_model, rows))
    assert torch.equal(generate(model, inputs, leave("max_prob", 0.0)), expected)
    assert model.last_stats.exit_histogram == {0: NEW - 1, 2: 0, LAYERS - 1: 1}


def test_a_perfect_head_changes_nothing(models):
    model = models("perfect")
    for texts in (TEXT[:1], (TEXT[1], "a", TEXT[3][:20])):
        inputs = encode(*texts)
        expected = model.generate(**inputs, **PLAIN)
        for threshold in (0.0, 0.5, 0.9):
            for prefill in (False, True):
                assert torch.equal(generate(model, inputs, leave("max_prob", threshold, prefill=prefill)), expected)


@pytest.mark.parametrize("criterion", ["max_prob", "margin", "entropy", "patience"])
@pytest.mark.parametrize("prefill", [False, True])
def test_what_waited_is_as_if_it_had_never_left(criterion, prefill, models):
    """Rows of the full model, behind tokens that had left, are those of the whole text run at once."""
    model = models("few_words")
    threshold = {"max_prob": 0.35, "margin": 0.2, "entropy": 3.0, "patience": 1}[criterion]
    rows = []

    def process(row, tokens, logits):
        # What a head has no word for is impossible: only the full model gives all numbers.
        if np.isfinite(logits).all():
            rows.append((tokens.tolist(), logits.copy()))

    request = _C.SequenceRequest()
    request.prompt, request.max_new_tokens = encode(TEXT[0])["input_ids"][0].tolist(), 60
    from optimum_dynexec.modeling.early_exit import early_exit_params

    params = early_exit_params(leave(criterion, threshold, prefill=prefill), model.engine, None)
    result = model.engine.loop.generate([request], _C.SpeculationParams(), process_logits=process, early_exit=params)
    left = dict(result.stats.exit_histogram)
    assert left[0] + left[1] > 5
    assert len(rows) == left[2] > 5
    for tokens, logits in rows:
        whole = _C.CachedSequence(model.engine.paged_model).forward(tokens)[-1]
        np.testing.assert_allclose(logits, whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("prefill", [False, True])
@pytest.mark.parametrize("thresholds", [{0: 0.3}, {2: 0.3}, {0: 0.35, 2: 0.3}], ids=["first", "second", "both"])
def test_copied_hidden_states(thresholds, prefill, models):
    """Layers behind an exit see the hidden state that the token left with: rows of the full model are as in torch."""
    model = models("words_of_their_own")
    config = EarlyExitConfig(thresholds=thresholds, kv="copy", prefill=prefill)
    prompt = encode(TEXT[0])["input_ids"][0].tolist()
    depths, rows = [], []

    def process(row, tokens, logits):
        known = np.flatnonzero(np.isfinite(logits))
        depths.append(LAYERS - 1 if len(known) == VOCABULARY else 2 * int(known[0] % 2))
        if depths[-1] == LAYERS - 1:
            rows.append((tokens.tolist(), depths[:-1], logits.copy()))

    request = _C.SequenceRequest()
    request.prompt, request.max_new_tokens = prompt, 60
    params = model._early_exit_params(config, model.engine)
    before = np.array(model.engine.paged_model.rows_run)
    result = model.engine.loop.generate([request], _C.SpeculationParams(), process_logits=process, early_exit=params)
    assert [depths.count(layer) for layer in (0, 2, LAYERS - 1)] == [n for _, n in result.stats.exit_histogram]
    assert len(set(depths)) == len(thresholds) + 1
    # What was copied is not run later: a segment runs the tokens that got as far, and the prompt with its first token.
    prompts = [(len(prompt) - 1) * (depths[0] > layer) for layer in (-1, 0, 2)]
    reached = [sum(depth > layer for depth in depths) for layer in (-1, 0, 2)]
    assert (np.array(model.engine.paged_model.rows_run) - before).tolist() == np.add(prompts, reached).tolist()

    torch_model = LlamaForCausalLM.from_pretrained(model.model_save_dir.parent / "hf-words_of_their_own").eval()
    assert len(rows) > 5
    for tokens, left, logits in rows:
        last = LAYERS - 1
        of_prompt = left[0] if left and prefill else last
        depth = torch.tensor([*[of_prompt] * (len(prompt) - 1), *left, last])
        if not prefill:
            assert depth[len(prompt) - 1] == last
        with leaving(torch_model, depth), torch.no_grad():
            expected = torch_model(torch.tensor([tokens])).logits[0, -1].numpy()
        np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3)


@contextmanager
def leaving(torch_model, depth):
    """Layers behind `depth`, of each token, give what they were given."""

    def hook(layer):
        def replace_output(module, args, output):
            return torch.where((depth < layer)[None, :, None], args[0], output)

        return replace_output

    handles = [layer.register_forward_hook(hook(i)) for i, layer in enumerate(torch_model.model.layers)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@pytest.mark.parametrize("threshold", [0.0, 0.4])
def test_copying_with_neighbours_and_many_passes(threshold, models, monkeypatch):
    model = models("norm")
    ids = torch.randint(3, VOCABULARY, (2, 90), generator=torch.Generator().manual_seed(0))
    config = leave("max_prob", threshold, prefill=True, kv="copy")
    each = [{"input_ids": row, "attention_mask": torch.ones_like(row)} for row in ids.split(1)]
    alone = [generate(model, inputs, config) for inputs in each]
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    for chunk in (1024, 33):
        monkeypatch.setattr(model.engine, "loop", _C.DecodeLoop(model.engine.paged_model, chunk))
        assert torch.equal(generate(model, inputs, config), torch.cat(alone))


def test_the_printed_block_says_where_tokens_left(models):
    model = models("norm")
    generate(model, encode(TEXT[0]), leave("max_prob", 0.4))
    counts = "  ".join(f"{layer}:{n}" for layer, n in model.last_stats.exit_histogram.items())
    assert f"left after layer (layer:tokens): {counts}" in str(model.last_stats)


def test_every_token_is_the_choice_of_the_exit_it_left_at(models):
    """The first exit, in order of depth, whose largest probability passes its threshold."""
    model = models("norm")
    inputs = encode(TEXT[0])
    thresholds = {0: 0.5, 2: 0.4}
    out = generate(model, inputs, EarlyExitConfig(criterion="max_prob", thresholds=thresholds))[0].tolist()
    heads = model.engine.exit_heads
    left = {0: 0, 2: 0, LAYERS - 1: 0}
    names = model.dynexec_config.hidden_state_names
    hidden_of = boundaries_of(model, [names[0], names[2]])
    for at in range(inputs["input_ids"].shape[1], len(out)):
        logits, hidden = hidden_of(out[:at])
        choice, where = int(logits.argmax()), LAYERS - 1
        for layer, states in zip((0, 2), hidden, strict=True):
            if at == inputs["input_ids"].shape[1]:
                break
            words = _C.CachedSequence(heads[layer].paged_model).forward([0] * at, states)[-1]
            stats = _C.logits_stats(words)
            if stats.max_prob >= thresholds[layer]:
                choice, where = heads[layer].token_ids[stats.argmax], layer
                break
        assert out[at] == choice
        left[where] += 1
    assert model.last_stats.exit_histogram == left
    assert min(left.values()) > 0


def boundaries_of(model, names):
    """`run(tokens)`: logits of the last token, hidden states after the named nodes of all."""
    import openvino as ov
    import openvino.opset13 as ops

    graph = model.model.clone()
    nodes = {node.get_friendly_name(): node for node in graph.get_ops()}
    graph.add_results([ops.result(nodes[name].output(0)) for name in names])
    request = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()

    def run(tokens):
        request.reset_state()
        request.infer(
            {
                "input_ids": np.array([tokens]),
                "attention_mask": np.ones((1, len(tokens)), np.int64),
                "position_ids": np.arange(len(tokens))[None],
                "beam_idx": np.zeros(1, np.int32),
            }
        )
        return request.get_output_tensor(0).data[0, -1], [request.get_output_tensor(i).data[0].copy() for i in (1, 2)]

    return run


@pytest.mark.parametrize("name", ["norm", "block"])
def test_neighbours_do_not_matter(name, models):
    model = models(name)
    texts = (TEXT[1], "a", TEXT[3][:20])
    config = leave("max_prob", 0.4)
    together = generate(model, encode(*texts), config)
    length = together.shape[1] - NEW
    for row, text in enumerate(texts):
        alone = generate(model, encode(text), config)
        assert torch.equal(together[row, length:], alone[0, alone.shape[1] - NEW :])


def test_a_backlog_of_many_passes(models, monkeypatch):
    """Whatever waits is run in chunks; where the cuts fall changes nothing."""
    model = models("few_words")
    ids = torch.randint(3, VOCABULARY, (2, 90), generator=torch.Generator().manual_seed(0))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    config = leave("max_prob", 0.35, prefill=True)
    expected = generate(model, inputs, config)
    for chunk in (4, 33):
        monkeypatch.setattr(model.engine, "loop", _C.DecodeLoop(model.engine.paged_model, chunk))
        assert torch.equal(generate(model, inputs, config), expected)


def test_sampling_and_processors(models):
    model, inputs = models("few_words"), encode(TEXT[0])
    arguments = {"do_sample": True, "seed": 3, "temperature": 0.7, "top_k": 20, "repetition_penalty": 1.2}
    first = generate(model, inputs, leave("max_prob", 0.35), **arguments)
    assert torch.equal(generate(model, inputs, leave("max_prob", 0.35), **arguments), first)
    out = generate(model, inputs, leave("max_prob", 0.0), repetition_penalty=1e6, max_new_tokens=NEW)
    generated = out[0, inputs["input_ids"].shape[1] :].tolist()
    assert len(set(generated)) == NEW


def test_eos_ends_a_text_at_an_exit(models):
    model, inputs = models("norm"), encode(TEXT[0])
    free = generate(model, inputs, leave("max_prob", 0.0))
    eos = int(free[0, inputs["input_ids"].shape[1] + 3])
    out = generate(model, inputs, leave("max_prob", 0.0), eos_token_id=eos, min_new_tokens=None)
    assert int(out[0, -1]) == eos
    assert out.shape[1] <= inputs["input_ids"].shape[1] + 4


def test_the_classifier_decides_with_its_weights(models, tmp_path, monkeypatch):
    model, inputs = models("norm"), encode(TEXT[0])
    expected = generate(model, inputs, EarlyExitConfig(criterion="max_prob", thresholds={0: 0.5, 2: 0.4}))
    # A steep function of max_prob, at one half where max_prob is at the threshold.
    weights = np.zeros((2, 6))
    weights[:, 0] = 1e6
    made = ClassifierCriterion([0, 2], weights, -1e6 * np.array([0.5, 0.4]))
    (tmp_path / made.file_name).write_bytes(made.content())
    monkeypatch.setattr(model, "model_save_dir", tmp_path)
    assert torch.equal(generate(model, inputs, leave("classifier", 0.5)), expected)
    (tmp_path / made.file_name).write_bytes(ClassifierCriterion([0, 1], weights, np.zeros(2)).content())
    with pytest.raises(ValueError, match=r"after layers \[0, 1\]"):
        generate(model, inputs, leave("classifier", 0.5))


def test_scores_are_those_that_thresholds_are_calibrated_by():
    from optimum_dynexec.early_exit.criteria import load_criterion
    from optimum_dynexec.early_exit.statistics import reference_statistics

    assert sorted(criterion_names()) == _C.criterion_names()
    rng = np.random.default_rng(0)
    logits = (rng.standard_normal((50, 4, 9)) * rng.uniform(0.1, 8, (50, 4, 1))).astype(np.float32)
    logits[::7, 1] = logits[::7, 0]
    logits[3, 2] = np.nan
    weights, bias = rng.standard_normal((4, 6)), rng.standard_normal(4)
    statistics = reference_statistics(logits, position=np.arange(50))
    for name in criterion_names():
        learned = name == "classifier"
        criterion = ClassifierCriterion(range(4), weights, bias) if learned else load_criterion(name)
        said = replace(statistics, certainty=np.where(statistics.prediction < 0, np.nan, statistics.margin))
        expected = criterion.scores(said)
        for sample, rows in enumerate(logits):
            stats = [_C.logits_stats(row) for row in rows]
            views = [_C.ExitView(s, s.argmax, c) for s, c in zip(stats, said.certainty[sample], strict=True)]
            found = _C.exit_scores(
                name, views, sample, weights.tolist() if learned else [], bias.tolist() if learned else []
            )
            np.testing.assert_allclose(found, expected[sample], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"early_exit": leave("max_prob", 0.5), "speculation": "prompt_lookup"}, "exclude"),
        ({"early_exit": leave("max_prob", 0.5), "prompt_lookup_num_tokens": 3}, "exclude"),
        ({"early_exit": leave("max_prob", 0.5), "num_beams": 2}, "beam search"),
        ({"early_exit": EarlyExitConfig(criterion="max_prob", thresholds={1: 0.5})}, r"after \[0, 2\]"),
    ],
)
def test_what_is_not_accepted_is_named(arguments, named, models):
    with pytest.raises(ValueError, match=named):
        models("norm").generate(torch.tensor([[5, 6]]), **arguments)
    with pytest.raises(TypeError, match="EarlyExitConfig"):
        models("norm").generate(torch.tensor([[5, 6]]), early_exit=0.9)


@pytest.fixture(scope="module", params=["draft", "draft+layers"])
def with_draft_head(request, models, tmp_path_factory):
    """`load(**arguments)`: the model "norm", with a draft head beside its exit heads."""
    directory = models("norm").model_save_dir
    heads = shutil.copytree(directory.parent / "heads-norm", tmp_path_factory.mktemp("with-draft") / "heads")
    config, tensors, _ = random_head(request.param, words=50, hidden_size=HIDDEN, vocab_size=VOCABULARY)
    save_head(config, tensors, heads / f"{config.name}.safetensors")
    return lambda **arguments: load_with_heads(directory, heads, **arguments)


def test_beside_a_draft_head_the_model_is_cut_when_an_exit_is_asked_for(with_draft_head, models):
    model, inputs = with_draft_head(), encode(TEXT[0])
    plain = model.generate(**inputs, **PLAIN)
    assert model.engine.paged_model.num_segments == 1
    assert torch.equal(model.generate(**inputs, **{**PLAIN, "speculation": "auto"}), plain)
    assert {p.name for p in model.last_stats.proposers} == {"suffix", "draft_head"}
    assert model.engine.paged_model.num_segments == 1
    for config in (leave("max_prob", 0.4), leave("max_prob", 0.4, kv="copy", prefill=True)):
        assert torch.equal(generate(model, inputs, config), generate(models("norm"), inputs, config))
    assert model.engine.paged_model.num_segments == 3
    engine = model.engine
    for arguments in ({"speculation": "auto"}, {"speculation": "exit_heads"}, {"speculation": "draft_head"}):
        assert torch.equal(model.generate(**inputs, **{**PLAIN, **arguments}), plain)
    assert model.engine is engine


@pytest.mark.parametrize("texts", [TEXT[:1], (TEXT[1], "a", TEXT[3][:20])], ids=["one", "three"])
def test_auto_mixes_all_there_is(texts, with_draft_head):
    model, inputs = with_draft_head(exit_layers=[0, 2]), encode(*texts)
    assert model.engine.paged_model.num_segments == 3
    plain = model.generate(**inputs, **PLAIN)
    assert torch.equal(model.generate(**inputs, **{**PLAIN, "speculation": "auto"}), plain)
    assert [p.name for p in model.last_stats.proposers] == ["suffix", "draft_head", "exit_heads", "exit_heads"]


def test_a_model_without_heads_says_how_to_get_some(tiny_model):
    with pytest.raises(ValueError, match="train-heads"):
        tiny_model("llama").generate(torch.tensor([[5, 6]]), early_exit=leave("max_prob", 0.5))


@pytest.mark.parametrize("criterion", ["learned", "settled"])
def test_criteria_of_encoders_are_refused(criterion, models):
    with pytest.raises(ValueError, match="is for encoders"):
        models("norm").generate(torch.tensor([[5, 6]]), early_exit=leave(criterion, 0.5))
