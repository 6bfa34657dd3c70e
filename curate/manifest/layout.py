"""The schema of a manifest file, versions 1 and 2, which `check_manifest` validates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from airrep.errors import ArgumentError
from airrep.schema import Natural
from selection.constraints.standing import Standing

Whole = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Number = Annotated[float, Meta(ge=0, lt=2.0**63)]


@dataclass(frozen=True)
class InputLayout:
    """An input; see `curate.manifest.provenance.InputRecord`."""

    name: str
    rows: Whole
    fingerprint: str
    skipped: list[str]


@dataclass(frozen=True)
class EncoderLayout:
    """What read the rows for one scorer."""

    scorer: str
    name: str
    dtype: str
    fingerprint: str
    encoded: Whole
    reused: Whole


@dataclass(frozen=True)
class ProposedLayout:
    """What a first scorer left to a second."""

    scorer: str
    rows: Whole
    of: Whole
    late: Whole


@dataclass(frozen=True)
class ChosenLayout:
    """What was chosen, as far as it is computed with; manifests of old name no constraints."""

    fingerprint: str
    scorer: str
    selector: str
    scale: Number
    constraints: list[Standing] | None = None
    proposed: ProposedLayout | None = None


@dataclass(frozen=True)
class ManifestLayout:
    """A manifest; see `curate.manifest.provenance.Manifest`. Version 1 does not say the verb."""

    manifest_version: Natural
    arguments: dict[str, Any]
    inputs: dict[str, InputLayout]
    chosen: ChosenLayout
    seconds: dict[str, Number]
    versions: dict[str, str]
    created: str
    verb: Literal["select", "harmful"] = "select"
    encoders: list[EncoderLayout] | None = None

    def __post_init__(self) -> None:
        if not {"pool", "targets"} <= set(self.inputs):
            raise ArgumentError("expected the pool and the targets", where="inputs")
        if self.encoders is None and self.manifest_version != 1:
            raise ArgumentError("expected what read the rows, for each scorer", where="encoders")
