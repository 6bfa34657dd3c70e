"""The callback that chooses a new selection while a model trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from transformers import TrainerCallback

from airrep.errors import ArgumentError, CheckpointError
from airrep.language_model.losses import completion_losses, evaluation_mode
from airrep.machine.processes import process_group, processes
from airrep.records import with_roles
from curate.rows.io import OnBadRow
from curate.stages.choosing import DEFAULT_K, Candidates
from curate.stages.inputs import Source
from curate.stages.requests import ChoiceRequest, InputRequest, ScoringRequest
from curate.trl.metrics import round_metrics
from curate.trl.model_in_training import model_in_training, random_state_kept
from curate.trl.rounds import SELECTION_FILE, LiveSelection, Round, load_rounds, save_rounds
from curate.trl.rows import training_rows
from curate.trl.weighting import Float64, Weighting, check_weighting, weights_by
from selection.scorers.registry import ScorerName
from selection.selectors import SelectorName
from selection.weights import target_weights

if TYPE_CHECKING:
    from airrep.language_model.model import LanguageModel
    from curate.stages.own_scores import OwnArray
    from selection.scorers import Scorer
    from selection.scorers.embedding import Encoder
    from selection.scorers.registry import ScorerName
from selection.selectors import Selector

Every = Literal["epoch"] | int


class Reselect(TrainerCallback):
    """Chooses the rows that a trainer with `LiveSelectionMixin` trains on, round after round.

    A round is one epoch of the trainer, and begins with a selection: the targets' losses under the
    model as it is now, weights made of them, and the rows that the selector takes with these
    weights. With weights that stay ("none") every round has the same rows: a fixed selection.

    Every process computes the same and takes what process 0 chose, so that all train on one
    selection, bit for bit.

    Attributes:
        dataset: The pool in TRL's layout, for the trainer's `train_dataset`.
        pool: The pool's usable rows, as examples; a round's indices count these.
        targets: The targets, as examples.
        skipped: Why rows of the pool were skipped, with on_bad_row="skip".
    """

    def __init__(
        self,
        pool: Source,
        targets: Source,
        k: int | None = None,
        *,
        every: Every = "epoch",
        weighting: Weighting = "loss",
        power: float = 1.0,
        weights: Sequence[float] | None = None,
        rescore: Callable[[LanguageModel], Scorer] | None = None,
        scorer: ScorerName | Sequence[ScorerName] | OwnArray | Scorer = "airrep",
        selector: SelectorName | Selector | None = None,
        encoder: str | Path | Encoder | tuple[OwnArray, OwnArray] | None = None,
        model: str | Path | LanguageModel | None = None,
        scale: float | None = None,
        columns: Mapping[str, str] | None = None,
        target_columns: Mapping[str, str] | None = None,
        roles: Mapping[str, str] | None = None,
        on_bad_row: OnBadRow = "error",
        store: str | Path | None = None,
        tokens_per_batch: int = 4096,
        seed: int = 0,
        progress: bool = False,
    ) -> None:
        """Read pool and targets; rows are scored when training begins.

        Args:
            pool: See `curate.select`.
            targets: See `curate.select`.
            k: Rows of a round, a number: all rounds are of one length. Default 1000, or the whole
                pool if it has fewer.
            every: "epoch": a round is one pass over its k rows. A number: a round is so many
                optimizer steps, however many passes or parts of one that makes.
            weighting: "loss": targets count in proportion to their current loss, on a coarse scale
                (see `loss_weights`). "none": always the same. Or a function of the losses
                (targets,) that returns weights (targets,).
            power: Power of the losses, for weighting "loss".
            weights: How much each target counts apart from that; default all the same.
            rescore: Makes the scorer of each round from the model in training, for instance
                `selection.scorers.RdsScorer`; default: scores are computed once, by `scorer`.
            scorer: See `curate.select`.
            selector: See `curate.select`; with `rescore` the default is layered_greedy.
            encoder: See `curate.select`.
            model: See `curate.select`.
            scale: See `curate.select`.
            columns: See `curate.select`.
            target_columns: See `curate.select`.
            roles: See `curate.select`.
            on_bad_row: See `curate.select`.
            store: Directory that keeps the pool's embeddings; default none.
            tokens_per_batch: Padded tokens at once on a GPU, in an encoder, or in the model for
                the losses.
            seed: Seed of the random scorer and selector, and of the projections of gradients. The
                order of rows follows the trainer's own seed.
            progress: Show progress bars.

        Raises:
            CurateError: One of its kinds (see `airrep.errors`), with what to do about it.
        """
        _check_every(every)
        check_weighting(weighting, power)
        if selector is None and rescore is not None:
            selector = "layered_greedy"
        self._scoring = ScoringRequest(
            scorer,
            encoder,
            model,
            store,
            tokens_per_batch=tokens_per_batch,
            seed=seed,
            progress=progress,
            keeps_gradients=False,  # the model changes from round to round
        )
        if rescore is None:
            self._scoring.check()
        self._choice = ChoiceRequest(k, selector, scale, weights, seed=seed)
        inputs = InputRequest(
            pool, targets, None, columns, target_columns, roles, on_bad_row
        ).read()
        inputs.pool.check_layout("pool")
        self.pool, self.targets = list(inputs.pool.examples), list(inputs.targets)
        self.skipped = inputs.pool.record.skipped
        self._weights = self._choice.share(inputs)
        self.dataset = training_rows(
            inputs.pool.rows.dataset, self.pool, with_roles(columns, roles)
        )
        self.k = min(DEFAULT_K, len(self.pool)) if k is None else k
        self.every = every
        self.live = LiveSelection()
        # What the trainer that it is part of sets.
        self.report: Callable[[dict[str, float]], None] | None = None
        self.measures = True
        self._weighting, self._power, self._rescore = weighting, power, rescore
        self._settings: dict[str, Any] = {
            "pool": inputs.records["pool"].fingerprint,
            "targets": inputs.records["targets"].fingerprint,
            "k": self.k,
            "every": every,
            "weighting": _name(weighting),
            "power": power,
            "weights": self._weights.tolist(),
            "scale": scale,
            "seed": seed,
        }
        self._selector: Selector | None = None
        self._candidates: Candidates | None = None

    @property
    def history(self) -> list[Round]:
        """The rounds so far; those of the run that is resumed included."""
        return list(self.live.rounds)

    @property
    def needs_model(self) -> bool:
        """Whether a selection depends on the model in training."""
        return self._weighting != "none" or self._rescore is not None

    def begin(self, checkpoint: str | Path | None, *, seed: int, shuffle: bool) -> None:
        """Score the pool, if that is not done, and start or resume the history.

        Args:
            checkpoint: The trainer's checkpoint to resume; None starts anew.
            seed: Seed of the order within rounds.
            shuffle: Whether rounds are shuffled, or trained on best first.

        Raises:
            CurateError: One of its kinds, among them CheckpointError where the checkpoint holds no
                history, or one of other rows or settings.
        """
        with random_state_kept():
            self._score()
        self._settings |= {"order seed": seed, "shuffle": shuffle}
        rounds = []
        if checkpoint is not None:
            rounds = load_rounds(Path(checkpoint) / SELECTION_FILE, self._settings)
        self.live = LiveSelection(rounds, seed, shuffle)

    def save(self, directory: str | Path) -> Path:
        """Write the history so far to `selection.json` in a directory; returns the file."""
        file = Path(directory) / SELECTION_FILE
        save_rounds(file, self.live.rounds, self._settings)
        return file

    def on_epoch_begin(
        self,
        args: Any,  # noqa: ANN401 (the callback's own types, which transformers leaves open)
        state: Any,  # noqa: ANN401
        control: Any,  # noqa: ANN401
        *,
        model: Any = None,  # noqa: ANN401
        processing_class: Any = None,  # noqa: ANN401
        train_dataloader: Any = None,  # noqa: ANN401
        **_: Any,  # noqa: ANN401
    ) -> None:
        """Begin the round that is due; inside one that was resumed, go on with it."""
        if self.report is None:
            raise ArgumentError(
                "Reselect: this trainer samples from its whole dataset. Give it the mixin: class "
                "Trainer(LiveSelectionMixin, SFTTrainer)."
            )
        steps = math.ceil(len(train_dataloader) / args.gradient_accumulation_steps)
        if self.every not in ("epoch", steps):
            raise ArgumentError(
                f"every = {self.every} steps, but the trainer makes {steps} of a round's rows; "
                "leave split_batches off."
            )
        due, begun = state.global_step // steps, len(self.live.rounds)
        if due < begun:
            return
        if due > begun:
            raise CheckpointError(
                f"the history has {begun} rounds where step {state.global_step} is in round {due} "
                "(from 0): batch size or number of processes are not those of the checkpoint."
            )
        with random_state_kept():
            indices, weights, losses = self._choose(model, processing_class, args)
        self.live.begin(state.global_step, indices, self.pool, weights, losses)
        self.report(round_metrics(self.live.rounds, self.targets))

    def _score(self) -> None:
        if self._selector is not None:
            return
        if self._rescore is not None:
            self._selector = self._choice.named
            assert self._selector is not None, "layered_greedy, if no other was asked for"
            self._settings |= {"scorer": _name(self._rescore), "selector": self._selector.name}
            return
        scorer = self._scoring.made((self.targets, self.pool))
        self._selector = self._choice.chooser(scorer, len(self.pool))
        scores = scorer.score(self.targets, self.pool)
        known = [f"{each['fingerprint']} {each['dtype']}" for each in scores.provenance]
        self._settings |= {
            "scorer": scores.method,
            "encoders": known,
            "selector": self._selector.name,
        }
        self._candidates = Candidates.of(scores, self.k, self._selector)

    def _choose(
        self,
        network: Any,  # noqa: ANN401 (a PreTrainedModel, or peft's around one)
        tokenizer: Any,  # noqa: ANN401
        args: Any,  # noqa: ANN401
    ) -> tuple[list[int], list[float], list[float] | None]:
        """Rows, weights of the targets, and their losses; process 0's on every process."""
        assert self._selector is not None, "begin() chose one"
        losses: Float64 | None = None
        candidates = self._candidates
        with evaluation_mode(network):
            if self.measures:
                model = model_in_training(network, tokenizer, args)
                losses = completion_losses(
                    model,
                    self.targets,
                    tokens_per_batch=self._scoring.tokens_per_batch,
                    dtype="bfloat16" if args.bf16 else "float32",
                )
                if self._rescore is not None:
                    scores = self._rescore(model).score(self.targets, self.pool)
                    candidates = Candidates.of(scores, self.k, self._selector)
        assert candidates is not None  # begin() made them, or rescore did
        made = weights_by(self._weighting, losses, len(self.targets), self._power)
        weights = target_weights(self._weights * made, len(self.targets))
        chosen = candidates.choose(self._selector, self.k, weights)
        return _agreed(
            (chosen.indices.tolist(), weights.tolist(), None if losses is None else losses.tolist())
        )


def _check_every(every: object) -> None:
    steps = isinstance(every, int) and not isinstance(every, bool) and every >= 1
    if not (steps or every == "epoch"):
        raise ArgumentError(
            f"every should be 'epoch' or a number of optimizer steps >= 1, found {every!r}."
        )


def _agreed(choice: tuple[list[int], list[float], list[float] | None]) -> Any:  # noqa: ANN401
    """What process 0 found, on every process."""
    if processes() == 1:
        return choice
    from accelerate.utils import broadcast_object_list

    process_group()
    return broadcast_object_list([choice])[0]


def _name(given: Any) -> str:  # noqa: ANN401
    return given if isinstance(given, str) else getattr(given, "__qualname__", type(given).__name__)
