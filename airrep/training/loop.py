"""An encoder learns from measured subsets (AirRep: Sun et al. 2025, arXiv 2505.18513).

A step takes subsets and examples of one split, predicts every subset's influence on every example,
and compares the predictions in pairs (`airrep.training.objective`); with a teacher, the cosines of
some rows are compared with the teacher's as well. Gradients are cached
(`airrep.training.cached_gradients`).

Where this departs from the paper: the projector starts from whitened features, or from what they
tell of the teacher's vectors, and is held near there; embeddings have length 1 and the scale of
scores is learned; and training stops when the LDS on validation data no longer grows. With some
hundred runs, where the paper has ten thousand, that is what keeps the encoder from learning its
rows by heart (docs/encoder.md).

Shapes: n texts, S subsets and T examples of a step, D embedding size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from airrep.console.progress import bar
from airrep.disk.parts import Due, discard, kept_in
from airrep.disk.paths import user_path
from airrep.encoder import AirRep
from airrep.errors import ArgumentError, LossError
from airrep.language_model.lora import check_lora, with_adapters
from airrep.machine.processes import rank, wait_for_everyone
from airrep.network.modeling import AirRepModel
from airrep.training.cached_gradients import Positions, cached_backward
from airrep.training.config import TrainConfig
from airrep.training.copies import copy_to_train
from airrep.training.directions import fit_directions
from airrep.training.objective import group_scores, pairwise_loss
from airrep.training.regression import fit_regression
from airrep.training.rows import Part, Supervision, Teacher, Texts, Validation, data_fingerprint
from airrep.training.state import Progress, Validated, load_state, save_state
from airrep.training.student import Student
from airrep.training.whitening import fit_whitening

_PARTS = "features"  # what files of parts are called, in the run's directory


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Attributes:
        encoder: The trained encoder; it shares no weight that was trained with the one it started
            from.
        history: LDS on validation data over steps, the untrained encoder first.
        best: The step that the encoder was taken from.
        rows: Different texts that it saw.
    """

    encoder: AirRep = field(repr=False, compare=False)
    history: list[Validated]
    best: int
    rows: int


def train_encoder(
    encoder: AirRep,
    supervision: Sequence[Supervision],
    config: TrainConfig,
    directory: str | Path,
    *,
    validation: Validation,
    teacher: Teacher | None = None,
    on_start: Callable[[AirRep], None] | None = None,
    progress: bool = False,
) -> Trained:
    """Train a copy of an encoder. A killed run goes on from its last validation.

    Under `accelerate launch` the encoding is shared by all processes, and the gradients are those
    of one process up to rounding.

    Args:
        encoder: What to start from, in float32. It is not changed.
        supervision: Measured subsets, one entry per split.
        config: How to train.
        directory: Where the state is kept.
        validation: What decides when to stop, and which step was best.
        teacher: Vectors whose cosines the encoder should follow as well.
        on_start: Called once with the copy when its features are whitened and nothing is learned
            yet; must not change it.
        progress: Show progress bars on standard error.

    Raises:
        ArgumentError: No supervision, more dimensions than features or than the teacher has, a
            start from a teacher who is not there, or a backbone is to be trained below features
            that have no gradient.
        OutputError: The directory holds another run.
        LossError: The loss became NaN or infinite.
    """
    if not supervision:
        raise ArgumentError("no supervision: give the measured subsets of at least one split.")
    if teacher is None and config.start == "teacher":
        raise ArgumentError("training.start is 'teacher', and there is no teacher.")
    check_trainable(encoder, config)
    directory = user_path(directory, "directory")
    texts = Texts(encoder.template)
    parts = [texts.part(split, config.source_share) for split in supervision]
    teacher = None if teacher is None else teacher.shared(config.source_share)
    taught = np.zeros(0, dtype=np.int64) if teacher is None else texts.add(teacher.examples)
    learned = len(texts.all())
    checked_pool, checked_targets = texts.add(validation.pool), texts.add(validation.targets)
    run = blake2b(digest_size=16)
    run.update(repr(sorted(asdict(config).items())).encode() + encoder.fingerprint.encode())
    others: list[npt.NDArray[Any]] = [taught, checked_pool, checked_targets, *validation.subsets]
    others += [] if teacher is None else [teacher.vectors]
    run.update(data_fingerprint(texts, parts, others).encode())
    frozen = config.trainable == "projector"
    encoder = copy_to_train(encoder, backbone=not frozen)
    model = encoder.model
    with kept_in(directory, _PARTS):
        if model.gradient is not None:
            rows = [example for split in supervision for example in split.pool]
            fit_directions(encoder, rows, config.seed, progress=progress)
        features = encoder.features(
            texts.all() if frozen else texts.all()[:learned],
            tokens_per_batch=config.tokens_per_batch,
            progress=progress,
        )
    start_whitened(encoder, features[:learned], config)
    if on_start is not None:
        on_start(encoder)
    if teacher is not None and config.start == "teacher":
        weight, bias = fit_regression(features[taught], teacher.vectors, config.dim, config.ridge)
        _put_projector(encoder, weight, bias)
    with _in_training(model, config):
        student = Student(encoder, texts.all(), config, features if frozen else None)
        del features
        checked = checked_targets, checked_pool
        trainer = _Trainer(student, parts, config, validation, checked, taught, teacher)
        state = trainer.run(directory, run.hexdigest(), progress=progress)
        student.load_state_dict(state.weights, strict=False)
        student.fold()
    if rank() == 0:
        discard(directory, _PARTS)
    encoder = AirRep(model, encoder.tokenizer, encoder.name)  # with a fingerprint of its own
    return Trained(encoder, state.history, state.best, learned)


@contextmanager
def _in_training(model: AirRepModel, config: TrainConfig) -> Iterator[None]:
    """Only the backbone's weights that are trained require gradients; in the end all do as before.

    Adapters are there meanwhile, and are merged into the backbone. Where training fails, all of it
    is left as it is: nobody sees the model.
    """
    before = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.requires_grad_(requires_grad=False)
    adapted = None
    if config.adapter_rank is not None:
        adapted = with_adapters(model.bert, config.adapter_rank, config.seed)
    elif config.trainable == "all":
        model.bert.requires_grad_(requires_grad=True)
    yield
    if adapted is not None:
        adapted.merge_and_unload()
    for parameter, required in before:
        parameter.grad = None
        parameter.requires_grad_(required)


def check_trainable(encoder: AirRep, config: TrainConfig) -> None:
    """Refuse to train what cannot be trained.

    Raises:
        ArgumentError: See `train_encoder`.
    """
    if encoder.precision != "float32":
        raise ArgumentError(
            f"the encoder's weights are {encoder.precision}; load it with dtype='float32'."
        )
    if encoder.model.gradient is not None and config.trainable != "projector":
        raise ArgumentError(
            f"training.trainable {config.trainable!r}: features of token_pooling 'gradient' pass "
            "no gradient on to the model; train the 'projector'."
        )
    if encoder.model.gradient is not None and config.start == "teacher":
        raise ArgumentError(
            "training.start 'teacher': features of token_pooling 'gradient' are gradients "
            "themselves; write 'whitened'."
        )
    if config.adapter_rank is not None:
        check_lora(encoder.model.bert, config.adapter_rank)


def start_whitened(encoder: AirRep, features: npt.NDArray[np.float32], config: TrainConfig) -> None:
    """Let an encoder's projector whiten features (n, F) of rows like those it will meet.

    The encoder is changed: give one that was made for this.
    """
    if config.dim > features.shape[1]:
        raise ArgumentError(
            f"training.dim is {config.dim}; the encoder has {features.shape[1]} features per text."
        )
    weight, bias = fit_whitening(features, encoder.model.feature_blocks, config.dim, config.damping)
    _put_projector(encoder, weight, bias)
    model = encoder.model
    model.config.normalize = model.gradient is None  # a gradient's length says something
    model.config.attention_scale = config.scale


def _put_projector(
    encoder: AirRep, weight: npt.NDArray[np.float32], bias: npt.NDArray[np.float32]
) -> None:
    model = encoder.model
    projector = torch.nn.Linear(weight.shape[1], weight.shape[0], device=model.device)
    with torch.no_grad():
        projector.weight.copy_(torch.from_numpy(weight))
        projector.bias.copy_(torch.from_numpy(bias))
    model.projector = projector.requires_grad_(model.projector.weight.requires_grad)
    model.config.projection_dim = len(weight)


class _Trainer:
    def __init__(
        self,
        student: Student,
        parts: Sequence[Part],
        config: TrainConfig,
        validation: Validation,
        checked: tuple[Positions, Positions],
        taught: Positions,
        teacher: Teacher | None,
    ) -> None:
        self._student, self._parts, self._config = student, parts, config
        self._validation, self._checked = validation, checked  # numbers of targets and pool
        self._taught, self._teacher = taught, teacher
        self._trained = {n: p for n, p in student.named_parameters() if p.requires_grad}
        head = [student.matrix, student.log_scale]
        below = [p for n, p in self._trained.items() if n.startswith("backbone.")]
        rates = ((head, config.learning_rate), (below, config.backbone_learning_rate))
        groups = [{"params": part, "lr": rate, "peak": rate} for part, rate in rates if part]
        self._optimizer = torch.optim.AdamW(groups, weight_decay=0.0)

    def run(self, directory: Path, fingerprint: str, *, progress: bool) -> Progress:
        """Train from where the directory's run is; returns it with the best weights."""
        config = self._config
        state = load_state(directory, fingerprint, self._trained, self._optimizer)
        wait_for_everyone()  # before the first writes what the others are yet to look for
        due = Due()

        def save() -> None:
            with due.writing():
                save_state(directory, fingerprint, state, self._trained, self._optimizer)

        with bar(config.steps, "training", "step", done=state.step, shown=progress) as shown:
            while True:
                evaluated = state.step % config.evaluate_every == 0 or state.step == config.steps
                if evaluated and (not state.history or state.history[-1].step < state.step):
                    self._validate(state)
                    if rank() == 0:
                        save()
                    wait_for_everyone()
                    shown.note(f"LDS {state.history[-1].lds:.3f}")
                elif due and rank() == 0:
                    save()
                since = [v.step for v in state.history].index(state.best)
                worse = len(state.history) - 1 - since
                if state.step == config.steps or worse >= config.patience:
                    return state
                state.losses.append(self._step(state.step))
                state.step += 1
                shown.advance()

    def _validate(self, state: Progress) -> None:
        both = self._student.embed(np.concatenate(self._checked))
        targets, pool = both.split([len(numbers) for numbers in self._checked])
        subsets, pooling = self._validation.subsets, self._config.pooling
        predicted = group_scores(targets, pool, subsets, pooling=pooling)
        lds = self._validation.measure(predicted.numpy())
        if not np.isfinite(lds):
            raise LossError(
                f"step {state.step}: the LDS on validation data is {lds}; the validation subsets "
                "or their losses do not vary."
            )
        loss = float(np.mean(state.losses)) if state.losses else None
        state.losses = []
        best = max((v.lds for v in state.history), default=-np.inf)
        state.history.append(Validated(state.step, loss, float(lds)))
        if lds > best:
            state.best = state.step
            state.weights = {n: p.detach().cpu().clone() for n, p in self._trained.items()}

    def _step(self, number: int) -> float:
        config = self._config
        rng = np.random.default_rng([config.seed, number])
        part = self._parts[int(rng.integers(len(self._parts)))]
        chosen = _draw(rng, len(part.subsets), config.subsets)
        measured = _draw(rng, len(part.targets), config.targets)
        teaching = self._teacher is not None and config.distil > 0
        told = _draw(rng, len(self._taught), config.distil_rows if teaching else 0)
        subsets = [part.subsets[i] for i in chosen]
        wanted = [part.targets[measured], *subsets, self._taught[told]]
        numbers, places = np.unique(np.concatenate(wanted), return_inverse=True)
        bounds = np.cumsum([len(rows) for rows in wanted])[:-1]
        targets, *members, pupils = np.split(places, bounds)
        labels = torch.from_numpy(part.labels[np.ix_(chosen, measured)])

        def loss_of(embeddings: torch.Tensor) -> torch.Tensor:
            predicted = group_scores(
                embeddings[torch.from_numpy(targets)], embeddings, members, pooling=config.pooling
            )
            loss = pairwise_loss(
                predicted,
                labels.to(predicted),
                weighting=config.weighting,
                least=config.least,
                most=config.most,
            )
            if self._teacher is None or not len(pupils):
                return loss
            vectors = torch.from_numpy(self._teacher.vectors[told]).to(embeddings)
            taught = torch.nn.functional.normalize(embeddings[torch.from_numpy(pupils)], dim=1)
            return loss + config.distil * unexplained(taught, vectors)

        self._optimizer.zero_grad()
        loss = cached_backward(
            lambda chunk: self._student(numbers[chunk]),
            self._student.chunks(numbers),
            len(numbers),
            loss_of,
            self._trained.values(),
        )
        self._hold_near_start()
        norm = torch.nn.utils.clip_grad_norm_(self._trained.values(), config.gradient_norm)
        if not norm.isfinite():
            raise LossError(
                f"step {number}: the norm of the weights' gradients is {norm.item()}; lower the "
                "learning rates."
            )
        share = rate_at(number, config.steps, config.warmup)
        for group in self._optimizer.param_groups:
            group["lr"] = group["peak"] * share
        self._optimizer.step()
        return loss

    def _hold_near_start(self) -> None:
        """The gradient of decay · |M - I|² / |I|² (L2-SP: Li et al. 2018, arXiv 1802.01483)."""
        matrix = self._student.matrix
        if matrix.grad is not None:
            identity = torch.eye(len(matrix), device=matrix.device)
            matrix.grad += 2 * self._config.decay / len(matrix) * (matrix.detach() - identity)


def unexplained(embeddings: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """1 - r·|r| of the cosines of different rows: the share of the teacher's that is not followed.

    Args:
        embeddings: (m, D), all of one length.
        vectors: (m, P), of length 1.
    """
    above = torch.triu_indices(len(vectors), len(vectors), offset=1, device=embeddings.device)
    mine = (embeddings @ embeddings.T)[above[0], above[1]]
    theirs = (vectors @ vectors.T)[above[0], above[1]]
    mine, theirs = mine - mine.mean(), theirs - theirs.mean()
    norms = mine.square().sum() * theirs.square().sum()
    shared = (mine * theirs).sum()
    return 1 - shared * shared.abs() / norms.clamp(min=torch.finfo(norms.dtype).tiny)


def rate_at(step: int, steps: int, warmup: float) -> float:
    """Share of the peak learning rate at a step from 0: up linearly, then down to 0."""
    rising = max(warmup * steps, 1.0)
    return min((step + 1) / rising, max(steps - step, 0) / max(steps - rising, 1.0), 1.0)


def _draw(rng: np.random.Generator, count: int, most: int) -> Positions:
    return np.sort(rng.choice(count, min(count, most), replace=False)).astype(np.int64)
