"""Nudged losses, against explicit gradients, and the weights left as they were."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import curate
from airrep.disk.parts import kept_in
from airrep.errors import ArgumentError
from airrep.gradients.moments import adam_metric, second_moments
from airrep.gradients.random_projections import projected_layers
from airrep.records import Example, normalize
from curate import cli
from curate.demo_data import demo_pool, demo_targets
from selection.capabilities import ScorerCapabilities
from selection.scorers import NudgeScorer
from selection.scorers.pairs import PairScorer
from selection.scorers.registry import SCORERS

POOL = [
    Example("0", "Where do whales live?", "Whales live in the sea."),
    Example("1", "What is 17 + 25?", "42"),
    Example("2", "Name a red fruit.", "An apple."),
    Example("3", "", "The quick brown fox jumps over the lazy dog."),
    Example("4", "Is the sea red?", "No, it is blue."),
    Example("5", "What is 9 + 1?", "It is 10."),
    Example("6", "What is 17 + 25?", "42"),
    Example("7", "Say something.", "Whales, apples, dogs, and 42."),
]
TARGETS = [
    Example("0", "What is 3 + 9?", "12"),
    Example("1", "Do dolphins swim?", "Yes, they swim in the sea."),
    Example("2", "Name a green fruit.", "A pear."),
]
RATE = 1e-4
FEW = {"draws": 6, "batch_size": 3, "learning_rate": RATE}


def _gradients(model, plain_losses, examples):
    """(n, all weights that move) gradients of mean losses."""
    names = [f"{layer.name}.weight" for layer in projected_layers(model.network)]
    weights = [model.network.get_parameter(name) for name in names]
    parts = [
        torch.autograd.grad(loss, weights, retain_graph=True)
        for loss in plain_losses(model, examples)
    ]
    return torch.stack([torch.cat([part.flatten() for part in each]) for each in parts])


def _metric(model):
    """(all weights that move,) 1 / √v."""
    moments = second_moments(model, POOL, batch_size=3, draws=6, dtype="float32")
    conv = model.network.config.model_type == "gpt2"  # its weights lie the other way round
    found = [adam_metric(m.T if conv else m).double().square() for m in moments.values()]
    return torch.cat([each.flatten() for each in found])


def _expected(model, plain_losses, groups):
    """(groups, pool) the exact product, for a step of rms 1 per weight."""
    steps = torch.stack([_gradients(model, plain_losses, g).mean(dim=0) for g in groups])
    steps = steps * _metric(model)
    steps = steps / steps.square().mean(dim=1, keepdim=True).sqrt()
    tokens = torch.tensor([len(t.trained) for t in model.tokenize(POOL)])
    return (steps @ (_gradients(model, plain_losses, POOL) * tokens[:, None]).T).numpy() * RATE


def _bits(network):
    return {name: each.detach().numpy().tobytes() for name, each in network.named_parameters()}


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_derivative_is_the_exact_product(make_lm, plain_losses, kind):
    model = make_lm(kind)
    expected = _expected(model, plain_losses, [[target] for target in TARGETS])
    before = model.network.config._attn_implementation
    found = NudgeScorer(model, difference="jvp", **FEW).score(TARGETS, POOL)
    np.testing.assert_allclose(found.values(), expected, rtol=1e-6, atol=1e-7 * expected.max())
    assert model.network.config._attn_implementation == before


@pytest.mark.parametrize("difference", ["forward", "central"])
def test_a_short_step_tells_what_the_exact_product_does(make_lm, plain_losses, difference):
    model = make_lm("gpt2")  # llama's norms compute in float32
    expected = _expected(model, plain_losses, [[target] for target in TARGETS])

    def error(step):
        found = NudgeScorer(model, step=step, difference=difference, **FEW).score(TARGETS, POOL)
        np.testing.assert_array_equal(found.values()[:, 1], found.values()[:, 6])
        return np.abs(found.values() - expected).max() / expected.max(), found

    short, found = error(1e-3)
    assert short < 1e-3
    order = np.argsort(expected[:, :6], axis=1)  # without the copy of a row
    np.testing.assert_array_equal(np.argsort(found.values()[:, :6], axis=1), order)
    long, _ = error(2.0)
    longer, _ = error(4.0)
    assert long > 10 * short
    power = np.log2(longer / long)  # of the step, in the error
    assert power == pytest.approx({"forward": 1, "central": 2}[difference], abs=0.3)
    assert (found.method, ScorerCapabilities.of(NudgeScorer).signed) == ("nudge", True)
    assert found.values().min() < 0 < found.values().max()


def test_few_clusters_take_one_step_on_their_mean_loss(make_lm, plain_losses):
    model = make_lm()
    targets = [*TARGETS, replace(TARGETS[0], id="3"), *POOL[:3]]
    scorer = NudgeScorer(model, difference="jvp", clusters=3, **FEW)
    with pytest.warns(UserWarning, match="7 targets share 3 steps"):
        scores = scorer.score(targets, POOL)
    cluster_of = scores.provenance[0]["clusters"]
    assert cluster_of[0] == cluster_of[3] == 0
    assert sorted(set(cluster_of)) == [0, 1, 2]
    assert [c for i, c in enumerate(cluster_of) if c not in cluster_of[:i]] == [0, 1, 2]
    groups = [[t for t, c in zip(targets, cluster_of, strict=True) if c == n] for n in range(3)]
    expected = _expected(model, plain_losses, groups)[cluster_of]
    np.testing.assert_allclose(scores.values(), expected, rtol=1e-5, atol=1e-6 * expected.max())
    with pytest.warns(UserWarning, match="share 3 steps"):
        again = scorer.score(targets, POOL)
    assert again.provenance == scores.provenance
    np.testing.assert_array_equal(again.values(), scores.values())


@pytest.mark.filterwarnings("error")
def test_equal_targets_share_a_step_and_few_targets_are_not_clustered(make_lm):
    targets = [*TARGETS, replace(TARGETS[0], id="3")]
    scores = NudgeScorer(make_lm(), clusters=3, **FEW).score(targets, POOL)
    assert scores.provenance[0]["clusters"] == [0, 1, 2, 0]
    alone = NudgeScorer(make_lm(), clusters=3, **FEW).score(TARGETS, POOL)
    np.testing.assert_allclose(alone.values(), scores.values()[:3], rtol=1e-6)
    assert "clusters" not in alone.provenance[0]


@pytest.mark.parametrize("options", [{}, {"difference": "central"}, {"difference": "jvp"},
                                     {"warmup": 2}], ids=str)  # fmt: skip
@pytest.mark.parametrize("end", [None, KeyboardInterrupt, RuntimeError])
def test_the_weights_are_the_same_bits_afterwards(make_lm, monkeypatch, options, end):
    model = make_lm(dtype=torch.float32)
    first = next(model.network.parameters())
    first.grad = torch.ones_like(first)
    before, places = _bits(model.network), [p.data_ptr() for p in model.network.parameters()]
    seen = []
    for module in ("airrep.language_model.losses", "airrep.gradients.nudges"):
        from_there = __import__(module, fromlist=["token_losses"]).token_losses

        def token_losses(*given, from_there=from_there):
            plain = options.get("difference") != "jvp"  # else there are numbers without bits
            seen.append(plain and _bits(model.network) != before)
            if end is not None and len(seen) == 5:
                raise end
            return from_there(*given)

        monkeypatch.setattr(f"{module}.token_losses", token_losses)
    scorer = NudgeScorer(model, **options, **FEW)
    if end is None:
        scorer.score(TARGETS, POOL)
    else:
        with pytest.raises(end):
            scorer.score(TARGETS, POOL)
    assert any(seen) or options == {"difference": "jvp"}, "the weights did move"
    assert _bits(model.network) == before
    assert [p.data_ptr() for p in model.network.parameters()] == places
    assert torch.equal(first.grad, torch.ones_like(first))
    assert all(p.grad is None for p in list(model.network.parameters())[1:])
    assert all(p.requires_grad for p in model.network.parameters())


def test_a_warm_up_changes_where_the_steps_begin(make_lm):
    model = make_lm(dtype=torch.float32)
    cold, warm, other = (
        NudgeScorer(model, warmup=steps, seed=seed, **FEW).score(TARGETS, POOL).values()
        for steps, seed in ((0, 0), (3, 0), (3, 0))
    )
    np.testing.assert_array_equal(warm, other)
    assert np.abs(cold - warm).max() > 1e-3 * np.abs(cold).max()


def test_what_was_finished_is_not_computed_again(make_lm, monkeypatch, tmp_path):
    model = make_lm(dtype=torch.float32)
    scorer = NudgeScorer(model, **FEW)
    expected = scorer.score(TARGETS, POOL).values()
    monkeypatch.setattr("airrep.disk.parts.SECONDS", -1.0)  # always time to write
    monkeypatch.setattr("airrep.disk.parts._SHARE", 1e9)
    from selection.scorers import nudge

    passes, whole = [], nudge.summed_losses

    def summed_losses(*given, **options):
        passes.append(given[3])
        if len(passes) == 3:
            raise KeyboardInterrupt
        return whole(*given, **options)

    monkeypatch.setattr(nudge, "summed_losses", summed_losses)
    with kept_in(tmp_path, "scores"), pytest.raises(KeyboardInterrupt):
        scorer.score(TARGETS, POOL)
    with kept_in(tmp_path, "scores"):
        np.testing.assert_array_equal(scorer.score(TARGETS, POOL).values(), expected)
    assert len(passes) == 3 + 2, "the base and one step were there"
    other = NudgeScorer(model, step=0.1, **FEW)
    with kept_in(tmp_path, "scores"):
        other.score(TARGETS, POOL)
    assert len(passes) == 5 + 4, "another step is other work"


BAD = {
    "step": ({"step": 0.0}, "step should be a finite number > 0, found 0.0"),
    "rate": ({"learning_rate": float("nan")}, "learning_rate should be a finite number > 0"),
    "difference": ({"difference": "exact"}, "'exact' is unknown; choose forward, central or jvp"),
    "clusters": ({"clusters": 0}, "clusters should be >= 1, found 0"),
    "warmup": ({"warmup": -1}, "warmup should be >= 0 steps, found -1"),
    "draws": ({"draws": 0}, "draws should be >= 1"),
    "layers": ({"layers": 3}, "layers should be 1 to 2"),
    "dtype": ({"dtype": "bfloat16"}, "differ by less than such numbers are rounded"),
}


@pytest.mark.parametrize("case", BAD)
def test_options_that_cannot_be_right_are_refused(make_lm, case):
    options, message = BAD[case]
    with pytest.raises(ArgumentError, match=message):
        NudgeScorer(make_lm(dtype=torch.float32), **options)


def test_coarse_weights_are_refused_but_for_the_derivative(make_lm):
    model = make_lm(dtype=torch.bfloat16)
    with pytest.raises(ArgumentError, match=r"weights in torch\.bfloat16"):
        NudgeScorer(model)
    assert NudgeScorer(model, difference="jvp", **FEW).score(TARGETS, POOL).shape == (3, 8)


def test_a_network_without_a_forward_derivative_is_refused_in_words(make_lm, monkeypatch):
    model = make_lm(dtype=torch.float32)

    class Backward(torch.autograd.Function):
        @staticmethod
        def forward(ctx, values):
            return values.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient

    usual = model.network.model.norm.forward
    monkeypatch.setattr(model.network.model.norm, "forward", lambda x: Backward.apply(usual(x)))
    with pytest.raises(ArgumentError, match=r"no forward derivative .*central or forward"):
        NudgeScorer(model, difference="jvp", **FEW).score(TARGETS, POOL)
    NudgeScorer(model, difference="central", **FEW).score(TARGETS, POOL)


def test_answers_of_a_comparison_never_share_a_step(make_lm):
    rows = [
        {"prompt": t.prompt, "chosen": t.completion, "rejected": f"No. {t.completion}"}
        for t in TARGETS
    ]
    pairs = [normalize(row) for row in rows]
    model, message = make_lm(), r"6 answers .*would share 4 steps.*Raise clusters to 6"
    with pytest.raises(ArgumentError, match=message):
        PairScorer(NudgeScorer(model, clusters=4, **FEW)).score(pairs, POOL)
    assert PairScorer(NudgeScorer(model, **FEW)).score(pairs, POOL).shape == (3, 8)


@pytest.fixture
def quick(monkeypatch):
    """The scorer by name, with fewer batches for the moments."""
    monkeypatch.setitem(SCORERS, "nudge", replace(SCORERS["nudge"], options={"draws": 2}))


@pytest.mark.filterwarnings("default:nudge. 9 targets share")
@pytest.mark.usefixtures("quick")
def test_it_selects_by_its_name_on_the_command_line(tmp_path, tiny_lm, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, rows in (("pool", demo_pool(30)), ("targets", demo_targets("email_reply", 9))):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["select", "--pool", "pool.jsonl", "--targets", "targets.jsonl", "--k", "4"]
    command += ["--scorer", "nudge", "--progress", "false", "--output", "out"]
    assert cli.main(command) == 1
    assert "'nudge' needs the language model" in capsys.readouterr().err
    assert cli.main([*command, "--model", str(tiny_lm)]) == 0
    shown = capsys.readouterr()
    assert "9 targets share 8 steps" in shown.err
    assert "4 rows by layered_greedy on nudge scores" in shown.out
    assert "clusters of 2, 1, 1, 1, 1, 1, 1, 1 targets, one score each" in shown.out
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert len(manifest["encoders"][0]["clusters"]) == 9
    assert cli.main(["select", "--config", "out/manifest.json"]) == 0
    assert capsys.readouterr().out.endswith("same rows as in the manifest\n")


@pytest.mark.usefixtures("quick")
def test_its_sign_finds_what_hurts(tiny_lm):
    found = curate.harmful(demo_pool(30), demo_targets("email_reply", 2), 3, scorer="nudge",
                           model=tiny_lm)  # fmt: skip
    assert (found.selection.gains < 0).all()
