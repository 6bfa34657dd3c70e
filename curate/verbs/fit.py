"""The verb `fit`: a pool and a language model in, an encoder of its gradients out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from airrep.console.progress import announce
from airrep.console.wording import counted
from airrep.disk.atomic import check_writable
from airrep.disk.parts import discard, kept_in
from airrep.disk.paths import not_ours, user_path
from airrep.errors import ArgumentError
from airrep.machine.processes import processes
from airrep.records import with_roles
from curate.manifest.arguments import replayable
from curate.manifest.provenance import fingerprint
from curate.rows.io import OnBadRow, read_rows
from curate.stages.destination import check_apart
from curate.stages.inputs import Source
from eval_harness.files.outputs import claim

BINDING = "fit.json"  # what the encoder was fitted to; there before the checkpoint is

_PARTS = "fitting"  # what files of parts are called, in the output directory


@dataclass(frozen=True)
class FittedEncoder:
    """An encoder that was fitted to a pool.

    Attributes:
        directory: The checkpoint, for `curate.select(..., encoder=directory)`.
        model: The language model's name.
        rows: How many rows the pool has.
        dim: Numbers of an embedding.
        skipped: Why rows could not be read, with `on_bad_row="skip"`.
    """

    directory: Path
    model: str
    rows: int
    dim: int
    skipped: list[str]

    def __str__(self) -> str:
        lines = [
            f"gradients of {self.model} in {counted(self.dim, 'number')} a row, fitted to a pool "
            f"of {counted(self.rows, 'row')}"
        ]
        if self.skipped:
            lines.append(
                f"skipped {counted(len(self.skipped), 'row')}, the first: {self.skipped[0]}"
            )
        return "\n".join([*lines, f"wrote   {self.directory}; select with it by --encoder"])


def fit(
    pool: Source,
    model: str | Path,
    output: str | Path,
    *,
    dim: int | None = None,
    separator: str = "",
    max_tokens: int = 512,
    columns: Mapping[str, str] | None = None,
    roles: Mapping[str, str] | None = None,
    on_bad_row: OnBadRow = "error",
    tokens_per_batch: int = 4096,
    seed: int = 0,
    progress: bool = False,
) -> FittedEncoder:
    """Make an encoder of a language model's own gradients, without any fine-tuning run.

    Where a row would move the model's weights, in the metric of Adam's steps, in a few kilobytes:
    kept in a store, it serves any number of selections. A row costs a forward and a backward pass;
    `curate train` with `encoder: {token_pooling: gradient}` makes the same, tested on runs.

    Args:
        pool: Rows like those that the model will be fine-tuned on; anything that `select` takes.
            Of a large pool some thousand rows are looked at.
        model: Directory, GGUF file or hub id of the causal language model that will be fine-tuned.
        output: Directory for the checkpoint.
        dim: Numbers of an embedding; default 1,024, or fewer where the pool has fewer rows.
        separator: Between a prompt and a completion of text; nothing by default, as in TRL.
        max_tokens: Longer rows are cut.
        columns: Which field of a pool row is what, where that is not obvious; see `select`.
        roles: Names of speakers in conversations to what they are; see `select`.
        on_bad_row: What to do with a row that cannot be read: error, or skip.
        tokens_per_batch: Padded tokens at once in the model on a GPU, where it bounds memory.
        seed: Seed of what is drawn.
        progress: Show progress bars.

    Returns:
        Where the checkpoint is.

    Raises:
        ArgumentError: Fewer than two rows, more dimensions than rows, or several processes.
        OutputError: The directory cannot be written to, or holds something else.
        CurateError: Another of its kinds (see `airrep.errors`), with what to do about it.

    Example:
        >>> import curate
        >>> pool, targets = curate.demo_pool(80), curate.demo_targets("email_reply", 2)
        >>> curate.fit(pool[:6], model_directory, "encoder", dim=2, max_tokens=32).dim
        2
    """
    from airrep.training.copies import save_narrow  # here, because they bring torch
    from airrep.training.untrained import gradient_encoder
    from curate.stages.scoring_memory import check_scoring_memory

    if processes() > 1:
        raise ArgumentError("fit does not run under accelerate or torchrun; start one process.")
    directory = user_path(output, "output")
    check_apart(directory, {"pool": pool, "model": model})
    _check_own(directory)
    check_writable(directory)
    read = read_rows(pool, "pool", on_bad_row).examples(with_roles(columns, roles), on_bad_row)
    examples, skipped = list(read.examples), read.skipped
    belongs = {
        "pool": fingerprint(examples),
        "model": replayable({"model": str(model)})["model"],
        "dim": dim,
        "separator": separator,
        "max_tokens": max_tokens,
        "seed": seed,
    }
    binding = directory / BINDING
    if binding.exists():
        claim(binding, belongs, "fitted encoder")
    shorter = [f"--max-tokens {max_tokens // 2}"] if max_tokens > 1 else []
    check_scoring_memory(
        ["gradient"], model, "float32", examples, instead=shorter, progress=progress
    )
    announce("fit", f"gradients of {counted(len(examples), 'row')}", shown=progress)
    with kept_in(directory, _PARTS):
        encoder = gradient_encoder(
            model,
            examples,
            dim=dim,
            separator=separator,
            max_tokens=max_tokens,
            tokens_per_batch=tokens_per_batch,
            seed=seed,
            progress=progress,
        )
    claim(binding, belongs, "fitted encoder")
    save_narrow(encoder, directory)
    discard(directory, _PARTS)
    return FittedEncoder(directory, str(model), len(examples), encoder.dim, list(map(str, skipped)))


def _check_own(directory: Path) -> None:
    """Refuse a directory in which something else lies, a language model for instance.

    Raises:
        OutputError: It holds files, and no `fit` made it.
    """
    found = sorted(directory.iterdir()) if directory.is_dir() else []
    there = [file for file in found if not file.name.startswith(".")]
    # After that look: another process that writes a checkpoint now has bound the directory before.
    if there and not (directory / BINDING).exists():
        raise not_ours(there[0])
