"""Hooks for stock `trl.SFTTrainer`: training on a live selection, chosen anew while it trains.

    from trl import SFTConfig, SFTTrainer
    from curate.trl import LiveSelectionMixin, Reselect

    class Trainer(LiveSelectionMixin, SFTTrainer):
        pass

    reselect = Reselect("pool.jsonl", "targets.jsonl", k=1000)
    trainer = Trainer(
        model, SFTConfig("model"), train_dataset=reselect.dataset, callbacks=[reselect]
    )
    trainer.train()
    reselect.history

TRL itself is not imported here. docs/trl.md says exactly what is trained, and when.
"""

from curate.trl.reselect import Reselect
from curate.trl.rounds import Round
from curate.trl.trainer import LiveSelectionMixin, last_checkpoint
from curate.trl.weighting import loss_weights

__all__ = ["LiveSelectionMixin", "Reselect", "Round", "last_checkpoint", "loss_weights"]
