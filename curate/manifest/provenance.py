"""Provenance: what went in, what came out, and the arguments that repeat it."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from airrep.disk.digests import content_digest
from airrep.records import Example, Fingerprint
from airrep.version import __version__
from selection.constraints.standing import Standing

MANIFEST_FILE = "manifest.json"
FILES_KEY = "files"  # in the file only: digests of the files that were saved with it
MANIFEST_VERSION = 2  # 1 held one encoder at most, or {}, as `encoder`
# arguments that earlier manifests lack, which is as if they were these
_LATER = {"modules": None, "model_dtype": "float32", "rescore": None, "rescore_rows": None}
_NO_MATTER = ("pool", "targets", "test", "store", "tokens_per_batch", "format")  # arguments
_PACKAGES = ("torch", "transformers", "datasets", "numpy", "scikit-learn", "faiss-cpu", "trl")


@dataclass(frozen=True)
class InputRecord:
    """One input: its name, its rows, those skipped and why, and a digest of what was read.

    Of a file that was named by an absolute path this is the last part
    (`airrep.console.wording.named`); the whole path is among the arguments, for those who repeat
    the run.
    """

    name: str
    rows: int
    fingerprint: str
    skipped: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Manifest:
    """One run of `curate.select`, or of `curate.harmful`.

    Attributes:
        arguments: The call's arguments; an input that came from memory is left out.
        inputs: "pool", "targets", and "test" if one was named.
        encoders: For each scorer with an encoder or a language model: the scorer, the name and
            fingerprint of what it read the rows with, compute dtype, rows encoded and reused.
        guard: How many leaks and near-duplicates were found, and how many rows removed.
        chosen: Selector, scorer, number of rows, layers, `fewer_than` (the default of k, where
            nobody gave one and there were fewer rows), the selector's objective and after how
            many rows it was best (null of a selector without one), how it stands with each
            constraint, a digest of the chosen rows in order, and which scorer proposed how many
            rows of how many to a second, with the number of chosen rows among the last tenth of
            them (null without a second scorer).
        seconds: Time of each stage.
        verb: What repeats the run with these arguments: "select" or "harmful".
    """

    arguments: dict[str, Any]
    inputs: dict[str, InputRecord]
    encoders: list[dict[str, Any]]
    guard: dict[str, int]
    chosen: dict[str, Any]
    seconds: dict[str, float]
    verb: str = "select"
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    versions: dict[str, str] = field(default_factory=lambda: _versions())

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"manifest_version": MANIFEST_VERSION, "verb": self.verb, **asdict(self)}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Manifest:
        """The manifest that plain values were made of; they are checked ones (`check_manifest`)."""
        from airrep.schema import converted  # here, because `curate --help` needs no msgspec

        known = {each.name: found[each.name] for each in fields(cls) if each.name in found}
        inputs = converted(found["inputs"], dict[str, InputRecord])
        standings = converted(found["chosen"].get("constraints") or [], list[Standing])
        chosen = {**found["chosen"], "constraints": standings}
        return cls(**{"encoders": [], "guard": {}, **known, "inputs": inputs, "chosen": chosen})


def run_of(
    verb: str, arguments: Mapping[str, Any], inputs: Mapping[str, InputRecord | Mapping[str, Any]]
) -> dict[str, Any]:
    """What tells one run from another: the verb, its arguments, and what the inputs hold.

    Args:
        verb: "select" or "harmful".
        arguments: As a manifest keeps them; those that change no row are left out, and so is where
            the inputs lie.
        inputs: As a manifest keeps them.
    """
    records = {n: each if isinstance(each, Mapping) else asdict(each) for n, each in inputs.items()}
    return {
        "verb": verb,
        "arguments": {
            name: value
            for name, value in arguments.items()
            if name not in _NO_MATTER and not (name in _LATER and value == _LATER[name])
        },
        "inputs": {name: record["fingerprint"] for name, record in records.items()},
    }


def run_in(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a manifest."""
    return run_of(manifest.get("verb", "select"), manifest["arguments"], manifest["inputs"])


def identity(manifest: Mapping[str, Any]) -> str:
    """A digest of what was asked for and what was chosen; the same when the run is repeated."""
    chosen = [manifest["chosen"].get(key) for key in ("scorer", "selector", "scale", "fingerprint")]
    return content_digest(json.dumps([run_in(manifest), chosen], sort_keys=True).encode())


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What a repeated run did differently, in words; empty if it chose the same rows."""
    if before["chosen"]["fingerprint"] == after["chosen"]["fingerprint"]:
        return []
    found = ["the chosen rows differ"]
    for name, record in before["inputs"].items():
        if record["fingerprint"] != after["inputs"][name]["fingerprint"]:
            found.append(f"the {name} is not the one of the manifest")
    if _encoders(before) != _encoders(after):
        found.append("the encoder (or the precision it computes in) is another one")
    for package, number in before["versions"].items():
        if after["versions"].get(package) != number:
            found.append(f"{package} was {number}, is {after['versions'].get(package)}")
    return found


def _encoders(manifest: dict[str, Any]) -> list[str]:
    """Fingerprints, in the order of the scorers; also of a manifest of version 1."""
    records = manifest.get("encoders", [manifest.get("encoder", {})])
    return [record["fingerprint"] for record in records if record]


def fingerprint(examples: Iterable[Example]) -> str:
    """A digest of examples in order: ids, prompts and completions."""
    digest = Fingerprint()
    for example in examples:
        digest.add(example)
    return digest.hex


def _versions() -> dict[str, str]:
    found = {"airrep-curate": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # faiss under another distribution name, for instance
            continue
    return found
