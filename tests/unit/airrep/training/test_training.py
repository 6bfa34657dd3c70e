"""An encoder learns what was planted, and comes out as it was validated."""

from __future__ import annotations

import copy
import itertools
import sys
from collections import Counter
from dataclasses import replace
from weakref import WeakSet

import numpy as np
import pytest
import torch

from airrep import AirRep
from airrep.disk import parts
from airrep.errors import ArgumentError, EmbeddingError, LossError, OutputError, SupervisionError
from airrep.records import Example
from airrep.training import loop as training_module
from airrep.training import student as student_module
from airrep.training.config import TrainConfig
from airrep.training.loop import rate_at, train_encoder, unexplained
from airrep.training.rows import Supervision, Teacher, Validation
from airrep.training.starting_point import starting_point
from airrep.training.student import Student

QUICK = TrainConfig(
    dim=16, damping=0.1, steps=12, evaluate_every=6, learning_rate=5e-2,
    backbone_learning_rate=1e-3, subsets=24, targets=16, distil_rows=64,
)  # fmt: skip
TRAINABLE = ["projector", "all", "lora:2"]
MOSTLY = ["projector", "all", pytest.param("lora:2", marks=pytest.mark.slow)]


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """Some CPUs compute in bfloat16, in which an encoder and its validation differ a little."""
    monkeypatch.setattr(student_module, "fastest_dtype", lambda device: torch.float32)


@pytest.fixture(scope="session")
def problem(make_encoder, planted):
    """(splits, validation, teacher), planted in a tiny encoder's features."""
    return planted(make_encoder(token_pooling="segments"))


@pytest.fixture
def start(make_encoder):
    """A fresh encoder, the same every time."""
    return make_encoder(token_pooling="segments")


def state(encoder):
    return {name: tensor.clone() for name, tensor in encoder.model.state_dict().items()}


def learn(encoder, problem, directory, config=QUICK, **options):
    splits, validation, _ = problem
    return train_encoder(encoder, splits, config, directory, validation=validation, **options)


def influence(encoder, validation, pooling):
    """(subsets, targets) as the finished encoder predicts it, from its public methods alone."""
    pool = encoder.encode(validation.pool)
    targets = encoder.encode(validation.targets)
    scores = [encoder.similarity(targets, pool[rows], pooling) for rows in validation.subsets]
    return np.stack(scores)


# --- learning ---------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["attention", "sum", "mean"])
@pytest.mark.parametrize("trainable", MOSTLY)
def test_what_was_planted_is_learned(start, problem, tmp_path, trainable, pooling):
    outcome = learn(start, problem, tmp_path, replace(QUICK, trainable=trainable, pooling=pooling))
    first, best = outcome.history[0].lds, max(v.lds for v in outcome.history)
    assert [v.step for v in outcome.history] == [0, 6, 12]
    assert first < 0.3
    assert best > first + 0.2
    assert outcome.history[0].loss is None
    assert outcome.history[2].loss < outcome.history[1].loss
    assert outcome.rows == 160
    # what comes out is what validation saw
    found = problem[1].measure(influence(outcome.encoder, problem[1], pooling))
    assert found == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize("trainable", MOSTLY)
def test_the_encoder_has_the_embeddings_that_validation_saw(
    start, problem, tmp_path, trainable, monkeypatch
):
    seen = []
    embed = Student.embed
    monkeypatch.setattr(Student, "embed", lambda *a: seen.append(embed(*a)) or seen[-1])
    outcome = learn(start, problem, tmp_path / "run", replace(QUICK, trainable=trainable))
    best = seen[[v.step for v in outcome.history].index(outcome.best)].numpy()
    outcome.encoder.save_pretrained(tmp_path / "saved")
    loaded = AirRep.from_pretrained(tmp_path / "saved", dtype="float32")
    validation = problem[1]
    for encoder in (outcome.encoder, loaded):
        found = encoder.encode([*validation.targets, *validation.pool])
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
        scaled = found * np.sqrt(encoder.attention_scale)
        np.testing.assert_allclose(scaled, best, rtol=0, atol=1e-5)
    trained = outcome.encoder
    assert loaded.attention_scale == trained.attention_scale != QUICK.scale
    assert loaded.fingerprint == trained.fingerprint
    assert np.array_equal(loaded.encode(validation.pool), trained.encode(validation.pool))


@pytest.mark.slow
@pytest.mark.parametrize("trainable", MOSTLY)
def test_the_best_step_is_what_comes_out(start, make_encoder, problem, tmp_path, trainable):
    """Here the second validation is the best, by decree."""
    splits, validation, _ = problem
    figures = iter([0.1, 0.9, 0.2, 0.3])
    config = replace(QUICK, trainable=trainable, steps=9, evaluate_every=3, patience=9)
    decreed = replace(validation, measure=lambda predicted: next(figures))
    outcome = train_encoder(start, splits, config, tmp_path / "a", validation=decreed)
    assert outcome.best == 3
    assert [v.lds for v in outcome.history] == [0.1, 0.9, 0.2, 0.3]
    figures = iter([0.1, 0.9])
    halted = replace(validation, measure=lambda predicted: next(figures))
    other = make_encoder(token_pooling="segments")
    with pytest.raises(StopIteration):
        train_encoder(other, splits, config, tmp_path / "b", validation=halted)
    # the same steps, and then no more
    again = make_encoder(token_pooling="segments")
    figures = iter([0.1, 0.9, 0.2, 0.3])
    resumed = train_encoder(again, splits, config, tmp_path / "b", validation=decreed)
    assert resumed.encoder.fingerprint == outcome.encoder.fingerprint


def test_training_stops_when_it_no_longer_helps(start, problem, tmp_path):
    splits, validation, _ = problem
    figures = iter([0.1, 0.3, 0.2, 0.3, 0.25])
    decreed = replace(validation, measure=lambda predicted: next(figures))
    config = replace(QUICK, steps=100, evaluate_every=2, patience=3)
    outcome = train_encoder(start, splits, config, tmp_path, validation=decreed)
    assert [v.step for v in outcome.history] == [0, 2, 4, 6, 8]
    assert outcome.best == 2, "the first of equals"


def test_no_steps_whiten_and_nothing_else(start, problem, tmp_path):
    before = state(start)
    outcome = learn(start, problem, tmp_path, replace(QUICK, steps=0))
    assert [v.step for v in outcome.history] == [0]
    assert outcome.best == 0
    made = outcome.encoder
    after = state(made)
    assert all(torch.equal(before[n], after[n]) for n in before if n.startswith("bert."))
    assert made.attention_scale == pytest.approx(5.0)
    assert made.dim == 16
    rows = [e for split in problem[0] for e in (*split.pool, *split.examples)]
    texts = list(dict.fromkeys(made.template.render(e) for e in rows))
    embeddings = made.model.project(torch.from_numpy(made.features(texts)))
    np.testing.assert_allclose(embeddings.detach().mean(dim=0), 0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("trainable", MOSTLY)
def test_the_same_seed_gives_the_same_bits(make_encoder, problem, tmp_path, trainable):
    outcomes = []
    for number, seed in enumerate((0, 0, 1)):
        encoder = make_encoder(token_pooling="segments")
        config = replace(QUICK, trainable=trainable, steps=6, evaluate_every=3, seed=seed)
        outcomes.append(learn(encoder, problem, tmp_path / str(number), config))
        torch.rand(number + 1)  # what others draw does not matter
    assert outcomes[0] == outcomes[1] != outcomes[2]
    first, second, third = (outcome.encoder.fingerprint for outcome in outcomes)
    assert first == second != third


def test_a_teacher_teaches(make_encoder, problem, tmp_path):
    """Labels are noise here; all there is to learn is what the teacher knows."""
    splits, validation, teacher = problem
    rng = np.random.default_rng(0)
    noise = [replace(s, losses=rng.normal(size=s.losses.shape)) for s in splits]
    best = {}
    for distil in (0.0, 5.0):
        config = replace(QUICK, distil=distil, distil_rows=128)
        outcome = train_encoder(
            make_encoder(token_pooling="segments"), noise, config, tmp_path / str(distil),
            validation=validation, teacher=teacher,
        )  # fmt: skip
        best[distil] = max(v.lds for v in outcome.history)
    assert best[5.0] > best[0.0] + 0.15


def test_a_teacher_of_other_rows(start, problem, tmp_path):
    examples = [Example(f"t{i}", f"river {i}", f"stone {i}") for i in range(30)]
    vectors = np.eye(30, dtype=np.float32)
    outcome = learn(start, problem, tmp_path, teacher=Teacher(examples, vectors))
    assert outcome.rows == 190


@pytest.mark.slow
@pytest.mark.parametrize("trainable", ["all", "lora:2"])
def test_in_bfloat16_it_learns_as_well(start, problem, tmp_path, trainable, monkeypatch):
    """The weights stay as exact as they were."""
    monkeypatch.setattr(student_module, "fastest_dtype", lambda device: torch.bfloat16)
    outcome = learn(start, problem, tmp_path, replace(QUICK, trainable=trainable, pooling="mean"))
    best = max(v.lds for v in outcome.history)
    assert best > outcome.history[0].lds + 0.2
    assert {p.dtype for p in outcome.encoder.model.parameters()} == {torch.float32}
    found = problem[1].measure(influence(outcome.encoder, problem[1], "mean"))
    assert found == pytest.approx(best, abs=0.05)
    assert found != best


@pytest.mark.slow
def test_a_language_model_learns(make_reading_model, planted, tmp_path):
    plain = make_reading_model()
    problem = planted(plain)
    for trainable in TRAINABLE:
        config = replace(QUICK, trainable=trainable, dim=96, damping=3.0, pooling="mean")
        outcome = learn(plain, problem, tmp_path / trainable, config)
        encoder = outcome.encoder
        assert max(v.lds for v in outcome.history) > outcome.history[0].lds + 0.1
        before, after = state(plain), state(encoder)
        moved = {n for n in before if n.startswith("bert.") and not before[n].equal(after[n])}
        weights = {n for n in before if n.startswith("bert.")}
        linear = {n for n in weights if ".layers." in n and "norm" not in n}
        assert moved == {"projector": set(), "all": weights, "lora:2": linear}[trainable]
        for name in ("prediction.inputs", "prediction.errors"):
            assert before[name].equal(after[name])
        encoder.save_pretrained(tmp_path / "saved")
        loaded = AirRep.from_pretrained(tmp_path / "saved", dtype="float32")
        assert loaded.fingerprint == encoder.fingerprint


# --- what is trained --------------------------------------------------------------------------


@pytest.mark.parametrize("trainable", MOSTLY)
def test_only_what_is_to_be_trained_moves(start, problem, tmp_path, trainable):
    before, names = state(start), set(dict(start.model.named_parameters()))
    trained = learn(start, problem, tmp_path, replace(QUICK, trainable=trainable, steps=6)).encoder
    after = state(trained)
    assert set(dict(trained.model.named_parameters())) == names, "adapters are merged"
    moved = {n for n in before if n.startswith("bert.") and not before[n].equal(after[n])}
    weights = {n for n in names if n.startswith("bert.")}
    inside = {n for n in weights if ".layer." in n and n.endswith("weight")}
    linear = {n for n in inside if "LayerNorm" not in n}
    if trainable == "all":
        assert len(moved) > 0.8 * len(weights)  # attention does not see a bias of its keys
    else:
        assert moved == {"projector": set(), "lora:2": linear}[trainable]
    if trainable == "lora:2":
        for name in linear:
            change = torch.linalg.svdvals(after[name] - before[name])
            assert (change > 1e-3 * change[0]).sum() == 2, "of the rank asked for"
    assert not hasattr(trained.model.bert, "peft_config")


@pytest.mark.parametrize("trainable", MOSTLY)
def test_requires_grad_is_left_as_found(make_encoder, problem, tmp_path, trainable):
    for number, frozen in enumerate([(), ("bert.",), ("bert.", "projector."), ("bert.encoder.",)]):
        encoder = make_encoder(token_pooling="segments")
        for name, parameter in encoder.model.named_parameters():
            parameter.requires_grad_(not name.startswith(frozen))
        flags = {n: p.requires_grad for n, p in encoder.model.named_parameters()}
        config = replace(QUICK, trainable=trainable, steps=2, evaluate_every=1)
        before = state(encoder)
        better = itertools.count()
        growing = replace(problem[1], measure=lambda _, figures=better: float(next(figures)))
        place = tmp_path / str(number)
        trained = train_encoder(encoder, problem[0], config, place, validation=growing).encoder
        for model in (encoder.model, trained.model):
            assert {n: p.requires_grad for n, p in model.named_parameters()} == flags
            assert all(p.grad is None for p in model.parameters())
        changed = not torch.equal(before[LAYER], trained.model.state_dict()[LAYER])
        assert changed == (trainable != "projector"), "whatever was frozen before"


LAYER = "bert.encoder.layer.0.attention.self.value.weight"


def test_a_frozen_backbone_has_no_gradients(start, problem, tmp_path, monkeypatch):
    """And is not run again once its features are known."""
    runs, during = Counter(), []
    start.model.bert.register_forward_hook(lambda *_: runs.update(["run"]))
    step = training_module._Trainer._step

    def watched(trainer, number):
        runs["steps"] += 1
        ran = runs["run"]
        loss = step(trainer, number)
        assert runs["run"] == ran
        model = trainer._student._encoder.model
        during.append([p.grad is None and not p.requires_grad for p in model.parameters()])
        return loss

    monkeypatch.setattr(training_module._Trainer, "_step", watched)
    learn(start, problem, tmp_path)
    assert runs["steps"] == 12
    assert all(all(flags) for flags in during)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("trainable", TRAINABLE)
def test_the_callers_encoder_is_not_changed(start, problem, tmp_path, trainable, fails):
    """Neither its weights, flags and mode nor a bit of what it encodes, even if training fails."""
    splits, validation, _ = problem
    for name, parameter in start.model.named_parameters():
        parameter.requires_grad_(not name.startswith("bert.encoder.layer.0."))
    start.model.bert.encoder.train()

    def seen():
        modes = [module.training for module in start.model.modules()]
        flags = {n: (p.requires_grad, p.grad) for n, p in start.model.named_parameters()}
        return modes, flags, start.model.config.to_dict(), start.attention_scale, start.dim

    before, looks = state(start), seen()
    start.model.eval()
    embeddings = start.encode(validation.pool)
    start.model.bert.encoder.train()
    config = replace(QUICK, trainable=trainable, steps=2, evaluate_every=1)
    if fails:
        validation = replace(validation, measure=lambda predicted: np.nan)
        with pytest.raises(LossError, match="step 0: the LDS on validation data is nan"):
            train_encoder(start, splits, config, tmp_path, validation=validation)
    else:
        outcome = train_encoder(start, splits, config, tmp_path, validation=validation)
        assert not np.array_equal(outcome.encoder.encode(validation.pool), embeddings)
    after = state(start)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert seen() == looks
    assert AirRep(start.model, start.tokenizer).fingerprint == start.fingerprint
    start.model.eval()
    assert np.array_equal(start.encode(validation.pool), embeddings)


class Held:
    """What the graph of one chunk keeps alive."""

    def __init__(self, rows):
        self.rows = rows


@pytest.mark.parametrize("subsets", [4, 40])
@pytest.mark.parametrize("trainable", ["all", "lora:2"])
def test_memory_does_not_grow_with_the_number_of_subsets(
    start, problem, tmp_path, monkeypatch, trainable, subsets
):
    """Rows with a graph at one time stay those of one chunk."""
    alive, most, encoded = WeakSet(), [0], Counter()
    forward = Student.forward

    def watched(student, numbers):
        if not torch.is_grad_enabled():
            return forward(student, numbers)
        held = Held(len(numbers))
        alive.add(held)
        encoded.update(numbers.tolist())
        most[0] = max(most[0], sum(other.rows for other in alive))
        with torch.autograd.graph.saved_tensors_hooks(lambda t: (held, t), lambda kept: kept[1]):
            return forward(student, numbers)

    monkeypatch.setattr(Student, "forward", watched)
    config = replace(
        QUICK, trainable=trainable, steps=1, subsets=subsets, tokens_per_batch=160, distil=0.0
    )
    learn(start, problem, tmp_path, config)
    assert most[0] == 10, "of 16 tokens each"
    assert sum(encoded.values()) > 30
    assert set(encoded.values()) == {1}, "however many subsets share a row"


def test_training_twice_starts_from_what_the_first_made(start, problem, tmp_path):
    """The fingerprint is the encoder's as it came out."""
    untrained = start.fingerprint
    config = replace(QUICK, trainable="all", steps=3, evaluate_every=3)
    trained = learn(start, problem, tmp_path / "a", config).encoder
    assert trained.fingerprint != untrained
    fresh = AirRep(trained.model, trained.tokenizer)
    assert trained.fingerprint == fresh.fingerprint
    with pytest.raises(OutputError, match="another directory"):
        learn(trained, problem, tmp_path / "a", config)


# --- a run on disk ----------------------------------------------------------------------------


@pytest.mark.parametrize("trainable", MOSTLY)
def test_a_finished_run_is_found_again(make_encoder, problem, tmp_path, trainable, monkeypatch):
    config = replace(QUICK, trainable=trainable, steps=4, evaluate_every=2)
    first, second = (make_encoder(token_pooling="segments") for _ in range(2))
    outcome = learn(first, problem, tmp_path, config)
    monkeypatch.setattr(training_module._Trainer, "_step", None)
    monkeypatch.setattr(training_module._Trainer, "_validate", None)
    found = learn(second, problem, tmp_path, config)
    assert found == outcome
    assert found.encoder.fingerprint == outcome.encoder.fingerprint


FROM_TEACHER = {"start": "teacher", "dim": 2, "patience": 9}


SLOWER = [pytest.param({"trainable": t}, marks=pytest.mark.slow) for t in TRAINABLE[1:]]


@pytest.mark.parametrize("changes", [{"trainable": TRAINABLE[0]}, *SLOWER, FROM_TEACHER])
def test_a_failed_run_goes_on(make_encoder, problem, tmp_path, changes, monkeypatch):
    config = replace(QUICK, steps=7, evaluate_every=2, **changes)
    given = {"teacher": problem[2]} if changes is FROM_TEACHER else {}
    whole = make_encoder(token_pooling="segments")
    expected = learn(whole, problem, tmp_path / "whole", config, **given)
    step = training_module._Trainer._step

    def failing(trainer, number):
        if number == 5:
            raise KeyboardInterrupt
        return step(trainer, number)

    monkeypatch.setattr(training_module._Trainer, "_step", failing)
    with pytest.raises(KeyboardInterrupt):
        learn(make_encoder(token_pooling="segments"), problem, tmp_path / "part", config, **given)
    done = []
    monkeypatch.setattr(
        training_module._Trainer, "_step", lambda t, number: done.append(number) or step(t, number)
    )
    resumed = make_encoder(token_pooling="segments")
    found = learn(resumed, problem, tmp_path / "part", config, **given)
    assert found == expected
    assert done == [4, 5, 6], "from the last validation"
    assert found.encoder.fingerprint == expected.encoder.fingerprint


def test_between_validations_a_run_is_kept_every_fifteen_seconds(
    make_encoder, problem, tmp_path, monkeypatch
):
    """Losses since the last validation too, which its figures are a mean of."""
    config = replace(QUICK, trainable="all", steps=7, evaluate_every=6)
    whole = make_encoder(token_pooling="segments")
    expected = learn(whole, problem, tmp_path / "whole", config)
    step, now, done = training_module._Trainer._step, [0.0], []

    def slow(trainer, number):
        if number == stop_at:
            raise KeyboardInterrupt
        now[0] += 8.0
        done.append(number)
        return step(trainer, number)

    monkeypatch.setattr(parts, "clock", lambda: now[0])
    monkeypatch.setattr(training_module._Trainer, "_step", slow)
    stop_at = 5
    with pytest.raises(KeyboardInterrupt):
        learn(make_encoder(token_pooling="segments"), problem, tmp_path / "part", config)
    stop_at = None
    done.clear()
    resumed = make_encoder(token_pooling="segments")
    found = learn(resumed, problem, tmp_path / "part", config)
    assert found == expected
    assert done == [4, 5, 6], "two steps take 16 seconds: four of the five were kept"
    assert found.encoder.fingerprint == expected.encoder.fingerprint


def changed_losses(split):
    return replace(split, losses=split.losses[:, :, ::-1])


def without_a_row(split):
    return replace(split, subsets=[split.subsets[0][:-1], *split.subsets[1:]])


def shuffled(teacher):
    return replace(teacher, examples=[*teacher.examples[1:], teacher.examples[0]])


OTHERS = {
    "setting": lambda s, v, t, e: (s, v, t, e, replace(QUICK, steps=2, learning_rate=1e-3)),
    "encoder": lambda s, v, t, e: (s, v, t, e(seed=1), None),
    "losses": lambda s, v, t, e: ([changed_losses(s[0]), s[1]], v, t, e, None),
    "subset": lambda s, v, t, e: ([without_a_row(s[0]), s[1]], v, t, e, None),
    "splits": lambda s, v, t, e: (s[:1], v, t, e, None),
    "teacher": lambda s, v, t, e: (s, v, None, e, None),
    "teacher's examples": lambda s, v, t, e: (s, v, shuffled(t), e, None),
    "teacher's vectors": lambda s, v, t, e: (s, v, replace(t, vectors=-t.vectors), e, None),
    "validation subsets": lambda s, v, t, e: (s, replace(v, subsets=v.subsets[1:]), t, e, None),
    "validation rows": lambda s, v, t, e: (s, replace(v, pool=v.pool[::-1]), t, e, None),
    "validation targets": lambda s, v, t, e: (s, replace(v, targets=v.targets[::-1]), t, e, None),
}


@pytest.mark.parametrize("change", OTHERS)
def test_the_directory_of_another_run_is_refused(make_encoder, problem, tmp_path, change):
    splits, validation, teacher = problem
    config = replace(QUICK, steps=2, evaluate_every=1)
    train_encoder(
        make_encoder(token_pooling="segments"), splits, config, tmp_path, validation=validation,
        teacher=teacher,
    )  # fmt: skip

    def encoder(seed=0):
        return make_encoder(seed, token_pooling="segments")

    splits, validation, teacher, made, other = OTHERS[change](splits, validation, teacher, encoder)
    with pytest.raises(OutputError, match="other data or with other settings"):
        train_encoder(
            made() if callable(made) else made, splits, other or config, tmp_path,
            validation=validation, teacher=teacher,
        )  # fmt: skip


def test_a_damaged_state_is_refused(start, make_encoder, problem, tmp_path):
    config = replace(QUICK, steps=2, evaluate_every=1)
    learn(start, problem, tmp_path, config)
    file = tmp_path / "training.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(SupervisionError, match="the training run is damaged"):
        learn(make_encoder(token_pooling="segments"), problem, tmp_path, config)


# --- what is refused --------------------------------------------------------------------------


def test_no_supervision(start, problem, tmp_path):
    with pytest.raises(ArgumentError, match="no supervision"):
        train_encoder(start, [], QUICK, tmp_path, validation=problem[1])


def test_more_dimensions_than_features(start, problem, tmp_path):
    with pytest.raises(ArgumentError, match=r"dim is 65; the encoder has 64 features"):
        learn(start, problem, tmp_path, replace(QUICK, dim=65))


def test_weights_too_narrow_to_train(start, problem, tmp_path):
    start.model.to(torch.bfloat16)
    with pytest.raises(ArgumentError, match=r"bfloat16; load it with dtype='float32'"):
        learn(start, problem, tmp_path)


def test_lora_without_peft_says_what_to_install(start, problem, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ArgumentError, match=r"pip install 'airrep-curate\[lora\]'"):
        learn(start, problem, tmp_path, replace(QUICK, trainable="lora:2"))
    learn(start, problem, tmp_path, replace(QUICK, steps=1))  # needs none


def test_lora_of_a_model_without_linear_layers(make_reading_model, planted, tmp_path):
    encoder = make_reading_model("gpt2")
    problem = planted(encoder, rows=8, targets=4, subsets=4, size=3)
    with pytest.raises(ArgumentError, match=r"no nn\.Linear in transformer\.h, for LoRA"):
        learn(encoder, problem, tmp_path, replace(QUICK, trainable="lora:2"))


def test_broken_losses(start, problem, tmp_path):
    splits, validation, _ = problem
    broken = replace(splits[0], losses=np.where(splits[0].losses < 1.5, np.nan, splits[0].losses))
    with pytest.raises(SupervisionError, match="are NaN or infinite"):
        train_encoder(start, [broken], QUICK, tmp_path, validation=validation)


def test_a_broken_backbone(start, problem, tmp_path):
    with torch.no_grad():
        start.model.bert.embeddings.word_embeddings.weight[:] = torch.nan
    with pytest.raises(EmbeddingError, match="NaN or infinity for"):
        learn(start, problem, tmp_path)


def test_gradients_that_are_not_finite(start, problem, tmp_path, monkeypatch):
    def backward(encode, chunks, rows, loss_of, parameters):
        for parameter in parameters:
            parameter.grad = torch.full_like(parameter, torch.nan)
        return 1.0

    monkeypatch.setattr(training_module, "cached_backward", backward)
    with pytest.raises(LossError, match="step 0: the norm of the weights' gradients is nan"):
        learn(start, problem, tmp_path)


def test_losses_of_another_shape(problem):
    split = problem[0][0]
    for losses in (split.losses[:, 0], split.losses[1:], split.losses[..., 1:]):
        with pytest.raises(ArgumentError, match="losses: expected"):
            Supervision(split.pool, split.examples, split.subsets, losses)


def test_a_teacher_of_another_shape(problem):
    teacher = problem[2]
    with pytest.raises(ArgumentError, match=r"teacher: expected \(160, P\), found \(159, 2\)"):
        Teacher(teacher.examples, teacher.vectors[1:])
    longer = teacher.vectors.copy()
    longer[3] *= 2
    with pytest.raises(ArgumentError, match="vector 3 has length 2; expected length 1"):
        Teacher(teacher.examples, longer)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trainable": "lora"}, "trainable 'lora' is not understood; write projector, all, lora:R"),
        ({"trainable": "lora:0"}, "trainable 'lora:0' is not understood"),
        ({"trainable": "head"}, "trainable 'head' is not understood"),
        ({"pooling": "max"}, "training.pooling: expected one of attention, sum, mean, found 'max'"),
        ({"weighting": "square"}, "training.weighting: expected one of difference, none, found"),
        ({"dim": 0}, "training.dim: expected int >= 1, found 0"),
        ({"steps": -1}, "training.steps: expected int >= 0"),
        ({"subsets": 1}, "training.subsets: expected int >= 2"),
        ({"distil_rows": 1}, "training.distil_rows: expected int >= 2"),
        ({"evaluate_every": 0}, "training.evaluate_every: expected int >= 1"),
        ({"seed": -1}, "training.seed: expected int >= 0"),
        ({"damping": 0.0}, "training.damping: expected float > 0.0"),
        ({"learning_rate": float("nan")}, "training.learning_rate: expected float > 0.0"),
        (
            {"gradient_norm": float("inf")},
            "training.gradient_norm: expected a finite number, found inf",
        ),
        ({"least": 5.0}, "expected least < most"),
        ({"warmup": 1.0}, "training.warmup: expected float < 1.0"),
        ({"decay": -0.1}, "training.decay: expected float >= 0.0"),
        ({"distil": float("inf")}, "training.distil: expected a finite number"),
    ],
)
def test_a_setting_out_of_range_is_named(change, message):
    with pytest.raises(ArgumentError, match=message):
        TrainConfig(**change)


def test_adapter_ranks():
    assert TrainConfig(trainable="lora:12").adapter_rank == 12
    assert TrainConfig(trainable="all").adapter_rank is None


# --- parts ------------------------------------------------------------------------------------


def test_the_learning_rate_rises_and_falls_to_zero():
    rates = [rate_at(step, 100, 0.1) for step in range(101)]
    assert rates[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert rates[10] == 1.0
    assert rates[10:] == pytest.approx(np.linspace(1, 0, 91))
    assert rate_at(0, 1, 0.0) == 1.0
    assert rate_at(0, 1, 0.5) == 1.0
    assert [rate_at(s, 4, 0.0) for s in range(4)] == pytest.approx([1, 1, 2 / 3, 1 / 3])


def test_unexplained_is_what_is_left_of_the_teachers_cosines():
    rng = np.random.default_rng(0)
    left, right = (rng.normal(size=(9, 4)) for _ in range(2))
    left, right = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (left, right))
    pairs = [(i, j) for i in range(9) for j in range(i)]
    mine, theirs = ([m[i] @ m[j] for i, j in pairs] for m in (left, right))
    r = np.corrcoef(mine, theirs)[0, 1]
    found = unexplained(torch.from_numpy(3 * left), torch.from_numpy(right))
    assert found.item() == pytest.approx(1 - r * abs(r))
    same = unexplained(torch.from_numpy(right), torch.from_numpy(right))
    assert same.item() == pytest.approx(0, abs=1e-12)


def test_following_the_teacher_backwards_is_no_following():
    """Cosines with the opposite sign are worse than unrelated ones."""
    near = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    far = torch.tensor([[0.6, 0.8], [1.0, 0.0], [0.0, 1.0]])
    assert unexplained(near, near) < 1e-6
    assert unexplained(near, far) > 0.8
    constant = torch.ones(3, 2, requires_grad=True)
    unexplained(constant, near).backward()
    assert constant.grad.isfinite().all()


def test_decay_holds_the_projector_near_its_start(make_encoder, problem, tmp_path):
    moved = []
    for decay in (0.0, 0.3, 1000.0):
        encoder, untrained = (make_encoder(token_pooling="segments") for _ in range(2))
        config = replace(QUICK, decay=decay)
        encoder = learn(encoder, problem, tmp_path / str(decay), config).encoder
        config = replace(config, steps=0)
        untrained = learn(untrained, problem, tmp_path / f"{decay}.0", config).encoder
        change = encoder.model.projector.weight - untrained.model.projector.weight
        moved.append(change.detach().norm().item())
    assert moved[0] > moved[1] > 2 * moved[2] > 0


def test_a_config_is_not_changed_by_training(start, problem, tmp_path):
    """Nor is what it is given."""
    config, splits = copy.deepcopy(QUICK), copy.deepcopy(problem[0][0])
    learn(start, problem, tmp_path)
    assert config == QUICK
    assert np.array_equal(splits.losses, problem[0][0].losses)
    assert all(
        np.array_equal(a, b) for a, b in zip(splits.subsets, problem[0][0].subsets, strict=True)
    )


def test_a_saved_start_is_the_same_start(start, problem, tmp_path):
    """A run can be taken up from what `starting_point` reads anew."""
    start.save_pretrained(tmp_path / "start")
    config = replace(QUICK, steps=2, evaluate_every=1)
    first, second = (starting_point(tmp_path / "start") for _ in range(2))
    outcome = learn(first, problem, tmp_path / "run", config)
    assert learn(second, problem, tmp_path / "run", config) == outcome
    assert isinstance(problem[1], Validation)
