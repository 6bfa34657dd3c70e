"""The mixin that makes a stock trainer sample from a live selection."""

from __future__ import annotations

import json
import re
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader, Sampler
from transformers import Trainer
from transformers.integrations import is_deepspeed_zero3_enabled

from airrep.console.wording import counted
from airrep.errors import ArgumentError
from curate.trl.reselect import Reselect
from curate.trl.rounds import LiveSelection
from curate.trl.rows import check_rows

_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_LAST_WRITTEN = "trainer_state.json"  # of the files of a checkpoint


class LiveSelectionMixin(Trainer):
    """For a trainer that trains on the rows that its `Reselect` callback has chosen.

        class Trainer(LiveSelectionMixin, SFTTrainer):
            pass

    It gets `reselect.dataset` as `train_dataset` and `reselect` among its `callbacks`. An epoch is
    a round; its length follows the selection, not the pool. Checkpoints hold the history.

    `train_sampling_strategy` "random" (the default) shuffles each round; with "sequential" it comes
    best first. Both depend on `data_seed` (or `seed`) and the round alone.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 (the trainer's own)
        """Make the trainer, and refuse what a live selection cannot be trained with.

        Raises:
            ArgumentError: No `Reselect` among the callbacks, or several; rows that are not those of
                `reselect.dataset`; packing, another sampling strategy, weights in shards; rounds of
                so many steps without max_steps.
        """
        super().__init__(*args, **kwargs)
        found = [each for each in self.callback_handler.callbacks if isinstance(each, Reselect)]
        if len(found) != 1:
            raise ArgumentError(
                f"callbacks: expected one Reselect, found {len(found)}. Pass callbacks=[reselect]."
            )
        self._reselect = found[0]
        self._live_loader: weakref.ref[DataLoader[Any]] | None = None
        self._check_settings()
        check_rows(self.train_dataset, self._reselect.pool)
        self._reselect.measures = not self._sharded()
        # Not self.log: TRL's own would hand in its running means early.
        self._reselect.report = lambda metrics: Trainer.log(self, metrics)

    def train(
        self,
        resume_from_checkpoint: str | bool | None = None,
        *args: Any,  # noqa: ANN401
        **kwargs: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """See `Trainer.train`. True resumes the newest checkpoint that was written to its end.

        Raises:
            CheckpointError: The checkpoint holds no history, or that of other rows or settings.
            ArgumentError: True, and there is no checkpoint.
        """
        checkpoint = resume_from_checkpoint or None
        if checkpoint is True:
            checkpoint = last_checkpoint(self.args.output_dir)
            if checkpoint is None:
                raise ArgumentError(
                    f"resume_from_checkpoint: {self.args.output_dir} holds no whole checkpoint; "
                    "pass last_checkpoint(output_dir), which is None then, to start anew."
                )
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        shuffle = self.args.train_sampling_strategy == "random"
        self._reselect.begin(checkpoint, seed=seed, shuffle=shuffle)
        return super().train(checkpoint, *args, **kwargs)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """See `Trainer.get_train_dataloader`.

        Raises:
            ArgumentError: A round makes no batch.
        """
        loader: DataLoader[Any] = super().get_train_dataloader()
        if len(loader) == 0:
            raise ArgumentError(
                f"a round of {counted(self._rows_of_a_round(), 'row')} makes no batch; choose more "
                "rows, a smaller batch, or leave dataloader_drop_last off."
            )
        self._live_loader = weakref.ref(loader)
        return loader

    def num_examples(self, dataloader: DataLoader[Any]) -> int:
        """See `Trainer.num_examples`: of the training rows those of a round, not of the pool."""
        if self._live_loader is not None and dataloader is self._live_loader():
            return self._rows_of_a_round()
        return super().num_examples(dataloader)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:  # noqa: ANN401
        return _LiveSampler(self._reselect, self._rows_of_a_round())

    def _save_checkpoint(self, model: Any, trial: Any) -> None:  # noqa: ANN401
        # First of all: where there is a trainer's state, which comes last, there is a history.
        if self.args.should_save:
            folder = f"checkpoint-{self.state.global_step}"
            self._reselect.save(Path(self._get_output_dir(trial=trial)) / folder)
        super()._save_checkpoint(model, trial)

    def _rows_of_a_round(self) -> int:
        if self._reselect.every == "epoch":
            return self._reselect.k
        return self._reselect.every * self.get_total_train_batch_size(self.args)

    def _check_settings(self) -> None:
        args = self.args
        if getattr(args, "packing", False):
            raise ArgumentError(
                "packing=True joins rows, so that a selected one cannot be told from the others; "
                "leave it off."
            )
        if args.train_sampling_strategy not in ("random", "sequential"):
            raise ArgumentError(
                f"train_sampling_strategy {args.train_sampling_strategy!r} has an order of its "
                "own; choose random (each round shuffled) or sequential (best first)."
            )
        if self._reselect.every != "epoch" and args.max_steps <= 0:
            raise ArgumentError(
                f"every = {self._reselect.every} makes an epoch of so many steps, and "
                "num_train_epochs would count these; say with max_steps how long to train."
            )
        if self._reselect.needs_model and self._sharded():
            raise ArgumentError(
                "the model's weights are spread over processes (FSDP, ZeRO-3 or tensor parallel), "
                "so that no process can measure the targets' losses; use weighting='none' without "
                "rescore, or train with plain data parallelism."
            )

    def _sharded(self) -> bool:
        return bool(
            self.is_fsdp_enabled
            or is_deepspeed_zero3_enabled()
            or getattr(self, "is_distributed_loading_by_transformers", False)
        )


class _LiveSampler(Sampler[int]):
    """The current round's pool positions, whenever an epoch begins."""

    def __init__(self, reselect: Reselect, rows: int) -> None:
        self._reselect, self._rows = reselect, rows

    def __len__(self) -> int:
        return self._rows

    def __iter__(self) -> Iterator[int]:
        live: LiveSelection = self._reselect.live
        return iter(live.order(self._rows).tolist())


def last_checkpoint(output_dir: str | Path) -> str | None:
    """The newest checkpoint in a directory that was written to its end, or None.

    A run that was killed while it wrote one leaves a folder without a trainer's state, which
    `transformers.trainer_utils.get_last_checkpoint` would return.
    """
    found = [(_CHECKPOINT.fullmatch(f.name), f) for f in Path(output_dir).glob("checkpoint-*")]
    numbered = [(int(match[1]), folder) for match, folder in found if match]
    for _, folder in sorted(numbered, reverse=True):
        try:
            json.loads((folder / _LAST_WRITTEN).read_text("utf-8"))
        except (OSError, ValueError):
            continue
        return str(folder)
    return None
