"""Measured effects of subsets: the contract between those who measure and those who learn.

    DIR/
      plan.json               what was drawn, from what
      plan.safetensors        the subsets' rows, the roles, digests of pool and evaluation rows
      runs/00012-0.safetensors   losses of subset 12, repeat 0, with the run's provenance

Every file is written by rename. A plan knows the rows it was drawn from by digest, and every run
knows its plan, model and recipe, so that none of them can be mixed up.

Shapes: N pool rows, E evaluation examples, S subsets, R repeats (seeds) of each.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from airrep.console.wording import counted
from airrep.disk.atomic import atomic_file, write_json
from airrep.disk.digests import content_digest, file_digest
from airrep.disk.locks import locked
from airrep.disk.paths import not_ours, user_path
from airrep.disk.sealed import ALTERED, check_format, reading
from airrep.errors import SupervisionError
from airrep.records import Example
from airrep.template import text_fingerprint

_FORMAT = 1
_DRAW_AGAIN = (
    "delete plan.json and plan.safetensors, and the command that recorded the runs writes them "
    "anew and keeps the runs"
)
Indices = npt.NDArray[np.int64]
Digests = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class SubsetPlan:
    """Which rows of a pool are trained on together, and on which examples the effect is measured.

    Attributes:
        subsets: S arrays of pool positions, without repeats.
        kinds: How each subset was drawn ("uniform", "few_sources" …).
        repeats: R, fine-tuning seeds per subset.
        seed: That run seeds derive from.
        roles: Name to evaluation positions; roles do not overlap.
        pool: Digest of every pool row, (N, 16).
        evaluation: Digest of every evaluation example, (E, 16).
    """

    subsets: Sequence[Indices]
    kinds: Sequence[str]
    repeats: int
    seed: int
    roles: Mapping[str, Indices]
    pool: Digests = field(repr=False)
    evaluation: Digests = field(repr=False)

    @property
    def runs(self) -> list[tuple[int, int]]:
        """All (subset, repeat), repeats of a subset together."""
        return [(s, r) for s in range(len(self.subsets)) for r in range(self.repeats)]

    def run_seed(self, subset: int, repeat: int) -> int:
        """Seed of one run, below 2³²."""
        return int(np.random.SeedSequence([self.seed, subset, repeat]).generate_state(1)[0])

    @cached_property
    def fingerprint(self) -> str:
        """Equal for equal plans over equal rows."""
        digest = blake2b(digest_size=16)
        for name, array in sorted(self._arrays().items()):
            digest.update(f"{name} {array.shape} {array.dtype}".encode() + array.tobytes())
        digest.update(json.dumps([list(self.kinds), self.repeats, self.seed]).encode())
        return digest.hexdigest()

    def check(self, pool: Sequence[Example], evaluation: Sequence[Example]) -> None:
        """Refuse rows other than those the plan was drawn for.

        Raises:
            SupervisionError: A row was added, removed or changed; says which is the first.
        """
        for name, known, rows in (
            ("pool", self.pool, pool),
            ("evaluation", self.evaluation, evaluation),
        ):
            found = example_digests(rows)
            shared = min(len(found), len(known))
            changed = np.flatnonzero((found[:shared] != known[:shared]).any(axis=1)).tolist()
            if not changed and len(found) == len(known):
                continue
            if len(found) == len(known):
                what = f"{counted(len(changed), f'{name} row')} changed since the plan was drawn"
            else:
                drawn_for = counted(len(known), f"{name} row")
                what = f"the plan was drawn for {drawn_for}, found {len(found):,}"
            first = changed[0] if changed else shared
            which = f"id {rows[first].id!r}" if first < len(rows) else "missing"
            raise SupervisionError(
                f"{what}; the first difference is at position {first} ({which}). Use the rows it "
                "was drawn for, or draw a new plan in another directory."
            )

    def save(self, directory: str | Path) -> None:
        """Write the plan; the directory may hold the same plan already.

        Raises:
            SupervisionError: The directory holds another plan.
            OutputError: The directory cannot be written to, or `plan.safetensors` is there without
                a `plan.json`, and is another's.
        """
        directory = user_path(directory, "directory")
        with locked(directory / ".lock"):  # of two plans at once, one is refused
            self._save(directory)

    def _save(self, directory: Path) -> None:
        if (directory / "plan.json").exists():
            if SubsetPlan.load(directory).fingerprint != self.fingerprint:
                raise SupervisionError(
                    f"{directory}: holds the runs of another plan (other subsets, rows, seed or "
                    "repeats); choose another directory, or delete this one."
                )
            return
        file = directory / "plan.safetensors"
        with atomic_file(file) as temporary:
            save_file(self._arrays(), temporary)
            # A save that was killed left the very same file; anything else is not ours.
            if os.path.lexists(file) and file_digest(file) != file_digest(temporary):
                raise not_ours(file)
        write_json(directory / "plan.json", {"format": _FORMAT, **self._facts()})

    @classmethod
    def load(cls, directory: str | Path) -> SubsetPlan:
        """Read a plan.

        Raises:
            SupervisionError: There is none, or it is damaged.
        """
        directory = user_path(directory, "directory")
        for name in ("plan.json", "plan.safetensors"):
            if not (directory / name).exists():
                raise SupervisionError(
                    f"no plan of subsets here ({name} is missing)",
                    where=directory,
                    remedy="record some runs first",
                )
        with reading(directory, _DRAW_AGAIN, SupervisionError, "the plan is damaged"):
            content = json.loads((directory / "plan.json").read_text("utf-8"))
            check_format(content["format"], _FORMAT, directory / "plan.json", SupervisionError)
            arrays = load_file(directory / "plan.safetensors")
            ends = np.cumsum(arrays["sizes"])[:-1]
            roles = {
                name.removeprefix("role."): array
                for name, array in arrays.items()
                if name.startswith("role.")
            }
            plan = cls(
                np.split(arrays["rows"], ends),
                content["kinds"],
                int(content["repeats"]),
                int(content["seed"]),
                roles,
                arrays["pool"],
                arrays["evaluation"],
            )
            facts = plan._facts()
            intact = {name: content[name] for name in facts} == facts
        if not intact:
            problem = "plan.json and plan.safetensors do not belong together"
            raise SupervisionError(problem, where=directory, remedy=_DRAW_AGAIN)
        return plan

    def _facts(self) -> dict[str, Any]:
        """What `plan.json` says of it."""
        return {
            "fingerprint": self.fingerprint,
            "subsets": len(self.subsets),
            "repeats": self.repeats,
            "seed": self.seed,
            "pool_rows": len(self.pool),
            "evaluation_rows": len(self.evaluation),
            "roles": {name: len(rows) for name, rows in self.roles.items()},
            "kinds": list(self.kinds),
        }

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        sizes = np.array([len(rows) for rows in self.subsets], dtype=np.int64)
        arrays: dict[str, npt.NDArray[Any]] = {
            "rows": np.concatenate(self.subsets).astype(np.int64),
            "sizes": sizes,
            "pool": self.pool,
            "evaluation": self.evaluation,
        }
        return arrays | {f"role.{name}": rows for name, rows in self.roles.items()}


@dataclass(frozen=True, eq=False)
class SubsetLosses:
    """What the runs of a plan measured.

    Attributes:
        plan: The subsets.
        values: Mean completion loss in nats, (S, R, E) float64.
        provenance: What all runs have in common: model fingerprint, runner and recipe.
        seconds: Training and evaluation time of each run, (S, R).
    """

    plan: SubsetPlan
    values: npt.NDArray[np.float64] = field(repr=False)
    provenance: Mapping[str, Any]
    seconds: npt.NDArray[np.float64] = field(repr=False)

    @classmethod
    def load(cls, directory: str | Path, *, model: str | None = None) -> SubsetLosses:
        """Read the finished runs of a plan.

        Args:
            directory: Where the runs were recorded.
            model: If given, the fingerprint of the model that the losses should be of.

        Raises:
            SupervisionError: Runs are missing (which, how many), damaged, of different models or
                recipes, of another plan, or of another model than `model`.
        """
        directory = user_path(directory, "directory")
        plan = SubsetPlan.load(directory)
        missing = [run for run in plan.runs if not run_file(directory, *run).exists()]
        if missing:
            shown = ", ".join(f"subset {s} repeat {r}" for s, r in missing[:3])
            raise SupervisionError(
                f"{directory}: {len(missing)} of {counted(len(plan.runs), 'run')} are missing "
                f"({shown}{' …' if len(missing) > 3 else ''}). Record them: the same command goes "
                "on where it stopped."
            )
        losses = np.empty((len(plan.subsets), plan.repeats, len(plan.evaluation)))
        seconds = np.empty(losses.shape[:2])
        provenance: dict[str, Any] | None = None
        for subset, repeat in plan.runs:
            file = run_file(directory, subset, repeat)
            values, facts = read_run(file, plan)
            if provenance is not None and facts["provenance"] != provenance:
                raise SupervisionError(
                    f"{file}: was trained otherwise than the runs before it "
                    f"({_first_difference(provenance, facts['provenance'])})."
                )
            provenance = facts["provenance"]
            losses[subset, repeat], seconds[subset, repeat] = values, facts["seconds"]
        assert provenance is not None
        if model is not None and provenance["model"] != model:
            raise SupervisionError(
                f"{directory}: holds losses of another model (fingerprint {provenance['model']}, "
                f"expected {model}). Record runs of this model in another directory."
            )
        return cls(plan, losses, provenance, seconds)


def run_file(directory: Path, subset: int, repeat: int) -> Path:
    """Where a run's losses are."""
    return directory / "runs" / f"{subset:05d}-{repeat}.safetensors"


def write_run(
    file: Path, plan: SubsetPlan, losses: npt.NDArray[np.float64], facts: Mapping[str, Any]
) -> None:
    """Write one run's losses (E,) and what they came from, whole or not at all."""
    with atomic_file(file) as temporary:
        written = {"format": _FORMAT, "plan": plan.fingerprint, **facts}
        described = json.dumps(written, sort_keys=True)
        losses = np.ascontiguousarray(losses)
        metadata = {"facts": described, "digest": _run_digest(losses, described)}
        save_file({"losses": losses}, temporary, metadata)


def read_run(file: Path, plan: SubsetPlan) -> tuple[npt.NDArray[np.float64], dict[str, Any]]:
    """One run's losses (E,), and its facts: provenance, seed, seconds.

    Raises:
        SupervisionError: The file is damaged, belongs to another plan, or is of a later version.
    """
    losses, facts = read_run_file(file)
    if facts["plan"] != plan.fingerprint or losses.shape != (len(plan.evaluation),):
        raise SupervisionError("is a run of another plan", where=file, remedy="delete it")
    return losses, facts


def read_run_file(file: Path) -> tuple[npt.NDArray[np.float64], dict[str, Any]]:
    """The same of whatever plan.

    Raises:
        SupervisionError: The file is damaged, or of a later version.
    """
    with reading(file, "delete it, and the run is repeated", SupervisionError):
        with safe_open(file, framework="numpy") as opened:
            losses = opened.get_tensor("losses")
            metadata = opened.metadata()
        if metadata["digest"] != _run_digest(losses, metadata["facts"]):
            raise ValueError(ALTERED)
        facts = json.loads(metadata["facts"])
        check_format(facts.get("format", _FORMAT), _FORMAT, file, SupervisionError)
        facts["plan"], facts["provenance"]
    if not np.isfinite(losses).all():
        raise SupervisionError("holds NaN or infinite losses", where=file, remedy="delete it")
    return losses, facts


def _run_digest(losses: npt.NDArray[np.float64], described: str) -> str:
    return content_digest(f"{losses.shape} {losses.dtype} {described}".encode(), losses.tobytes())


def example_digests(examples: Sequence[Example]) -> Digests:
    """A digest of each example's prompt and completion, (n, 16) uint8."""
    joined = b"".join(text_fingerprint(e.content) for e in examples)
    return np.frombuffer(joined, dtype=np.uint8).reshape(-1, 16).copy()


def _first_difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    key = next(k for k in sorted({*one, *other}) if one.get(k) != other.get(k))
    return f"{key} is {other.get(key)!r}, not {one.get(key)!r}"
