"""`Insight` on disk, so that reports and explanations need neither pool nor encoder.

    DIR/insight/rows.parquet     one line per usable pool row: what it helps most, and if it was
                                 chosen, why; texts of the rows that a report shows
    DIR/insight/targets.parquet  one line per target: its scores as a histogram, its extreme rows
    DIR/insight/removed.parquet  one line per row that the guard removed or warned of

Each names the selection (`chosen.fingerprint` of DIR/manifest.json) that it belongs to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airrep.console.wording import shortened
from airrep.disk.atomic import atomic_file
from airrep.disk.digests import file_digest
from airrep.disk.paths import user_path
from airrep.disk.sealed import check_format, reading
from airrep.errors import FileFormatError, MissingInputError
from curate.manifest.check import check_manifest
from curate.manifest.provenance import FILES_KEY, MANIFEST_FILE
from curate.report.kept.check import check_insight, check_ranks
from curate.report.kept.insight import Insight, Removed, RowText
from curate.rows.files import read_file
from selection.objective import Objective, ObjectiveCurve
from selection.overview import ScoreOverview
from selection.result import Certificate, Selection
from selection.score_counts import ScoreCounts
from selection.selectors.base import NO_GAIN
from selection.selectors.lowest_mean import LOWEST_MEAN
from selection.top import TargetRows

_FOLDER, _ROWS, _TARGETS, _REMOVED = "insight", "rows.parquet", "targets.parquet", "removed.parquet"
INSIGHT_FILES = tuple(f"{_FOLDER}/{name}" for name in (_ROWS, _TARGETS, _REMOVED))
_VERSION = 1
_KEY = b"curate"
_KINDS = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
_TEXTS = ("prompt", "completion", "prompt_characters", "completion_characters")


def write_insight(insight: Insight, directory: Path) -> dict[str, str]:
    """Write it beside a training set; each file appears whole or not at all.

    Returns:
        Digests of the files, by their places in the directory.

    Raises:
        OutputError: The directory cannot be written to.
    """
    curve = insight.selection.objective
    about = {
        "version": _VERSION,
        "fingerprint": insight.manifest["chosen"]["fingerprint"],
        "selector": insight.selection.method,
        "shortlist": insight.selection.shortlist,
        "objective": None if curve is None else curve.stated,
        "edges": insight.overview.distribution.edges[:2].tolist(),
    }
    digests = {}
    for name, columns in (
        (_ROWS, _row_columns(insight)),
        (_TARGETS, _target_columns(insight)),
        (_REMOVED, _removed_columns(insight)),
    ):
        table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(about)})
        with atomic_file(directory / _FOLDER / name) as temporary:
            pq.write_table(table, temporary, compression="zstd")
            digests[f"{_FOLDER}/{name}"] = file_digest(temporary)
    return digests


def read_insight(directory: str | Path) -> Insight:
    """Read what `TrainingSet.save` wrote.

    Raises:
        MissingInputError: No such directory, or one that holds no saved selection.
        FileFormatError: A file is damaged, or belongs to another selection.
    """
    directory = user_path(directory, "directory")
    manifest = _read_manifest(directory)
    tables = [_read_table(directory, name, manifest) for name in (_ROWS, _TARGETS, _REMOVED)]
    problem = "the files are not what a selection leaves there"
    with reading(directory / _FOLDER, _again(directory), FileFormatError, problem):
        insight = _assemble(manifest, json.loads(tables[0].schema.metadata[_KEY]), *tables)
        check_insight(insight)
        return insight


def _row_columns(insight: Insight) -> dict[str, Any]:
    chosen, ranks = insight.selection, insight.ranks()
    out = ranks < 0

    def of_chosen(values: Any, kind: pa.DataType) -> pa.Array:  # noqa: ANN401 (k of anything)
        return pa.array(np.asarray(values)[ranks], kind, mask=out)

    # Not lists of a fixed size: no pyarrow before 26 writes those of them that are null.
    scores = pa.LargeListArray.from_arrays(
        pa.array(np.arange(len(chosen.indices) + 1) * len(insight.targets)),
        pa.array(insight.overview.chosen.ravel()),
    )
    texts = [insight.texts.get(i) for i in range(len(ranks))]
    return {
        "row": pa.array(insight.rows),
        "id": pa.array(insight.ids, pa.string()),
        "source": pa.array(insight.sources, pa.string()).dictionary_encode(),
        "top_target": pa.array(insight.overview.top_targets),
        "top_score": pa.array(insight.overview.top_scores),
        "rank": pa.array(ranks, mask=out),
        "target": of_chosen(chosen.targets, pa.int64()),
        "score": of_chosen(chosen.scores, pa.float32()),
        "gain": of_chosen(chosen.gains, pa.float64()),
        "objective": pa.nulls(len(ranks), pa.float64())
        if chosen.objective is None
        else of_chosen(chosen.objective.values, pa.float64()),
        "layer": of_chosen(chosen.layers, pa.int64()),
        "scores": scores.take(pa.array(ranks, mask=out)),
        **{name: [getattr(text, name, None) for text in texts] for name in _TEXTS},
    }


def _target_columns(insight: Insight) -> dict[str, Any]:
    seen = insight.overview
    return {
        **{
            name: [getattr(target, name) for target in insight.targets]
            for name in ("id", "source", *_TEXTS)
        },
        "counts": seen.distribution.counts.tolist(),
        "best_left": seen.best_left.rows.tolist(),
        "best_left_scores": pa.array(list(seen.best_left.scores), pa.list_(pa.float32())),
        "worst_left": seen.worst_left.rows.tolist(),
        "worst_left_scores": pa.array(list(seen.worst_left.scores), pa.list_(pa.float32())),
    }


def _removed_columns(insight: Insight) -> dict[str, Any]:
    return {
        field.name: pa.array(
            [getattr(each, field.name) for each in insight.removed],
            _KINDS.get(str(field.type), pa.string()),
        )
        for field in fields(Removed)
    }


def _assemble(
    manifest: Mapping[str, Any],
    about: Mapping[str, Any],
    rows: pa.Table,
    targets: pa.Table,
    removed: pa.Table,
) -> Insight:
    ids, sources = (rows[name].to_pylist() for name in ("id", "source"))
    ranks = np.asarray(rows["rank"].fill_null(-1))
    indices = np.flatnonzero(ranks >= 0)
    check_ranks(ranks[indices])
    indices = indices[np.argsort(ranks[indices])]
    chosen = rows.take(indices)
    names = targets["id"].to_pylist()
    gains, objective = _objective(about, chosen)
    certificate = manifest["chosen"].get("certificate")
    selection = Selection(
        indices=indices,
        gains=gains,
        scores=np.asarray(chosen["score"]),
        targets=np.asarray(chosen["target"]),
        layers=np.asarray(chosen["layer"]),
        ids=[ids[i] for i in indices],
        target_ids=names,
        method=about["selector"],
        objective=objective,
        shortlist=about["shortlist"],
        certificate=None if certificate is None else Certificate(**certificate),
    )
    first, second = about["edges"]
    counts = _matrix(targets["counts"], np.int64)
    overview = ScoreOverview(
        chosen=_matrix(chosen["scores"], np.float32),
        best_left=_extremes(targets, "best_left"),
        worst_left=_extremes(targets, "worst_left"),
        top_targets=np.asarray(rows["top_target"]),
        top_scores=np.asarray(rows["top_score"]),
        distribution=ScoreCounts(counts, first + (second - first) * np.arange(counts.shape[1] + 1)),
    )
    kept = np.flatnonzero(np.asarray(rows["prompt"].is_valid()))
    return Insight(
        manifest,
        ids,
        sources,
        np.asarray(rows["row"]),
        dict(zip(kept.tolist(), _texts(rows.take(kept)), strict=True)),
        _texts(targets),
        selection,
        overview,
        tuple(Removed(**each) for each in removed.to_pylist()),
    )


def _objective(
    about: Mapping[str, Any], chosen: pa.Table
) -> tuple[npt.NDArray[np.float64], ObjectiveCurve | None]:
    """The gains, and the objective that they are changes of.

    Files of versions that kept no objective have gains that need not be changes of one: they are
    left out, but for those of rows that hurt, which are their mean scores.
    """
    gains, stated = np.asarray(chosen["gain"]), about.get("objective")
    if stated is None:
        kept = about["selector"] == LOWEST_MEAN
        return gains if kept else np.full(len(gains), NO_GAIN), None
    objective = Objective(stated["name"], stated["meaning"], stated["better"])
    return gains, ObjectiveCurve(objective, stated["start"], np.asarray(chosen["objective"]))


def _texts(table: pa.Table) -> list[RowText]:
    columns = (table[name].to_pylist() for name in ("id", "source", *_TEXTS))
    return [RowText(*values) for values in zip(*columns, strict=True)]


def _extremes(targets: pa.Table, name: str) -> TargetRows:
    return TargetRows(
        _matrix(targets[name], np.int64), _matrix(targets[f"{name}_scores"], np.float32)
    )


def _matrix(column: pa.ChunkedArray, kind: type[np.generic]) -> Any:  # noqa: ANN401
    """Lists of one length as (lines, length)."""
    values = np.asarray(pc.list_flatten(column))
    if values.size and values.dtype.kind != np.dtype(kind).kind:
        raise ValueError(f"lists of {values.dtype}, expected {np.dtype(kind)}")
    return values.astype(kind).reshape(len(column), pc.list_value_length(column)[0].as_py())


def _read_manifest(directory: Path) -> dict[str, Any]:
    path = directory / MANIFEST_FILE
    try:
        there = path.is_file()
    except OSError as error:  # too long a name, for instance
        problem = f"cannot be read ({error.strerror})"
        raise MissingInputError(problem, where=shortened(path, 200)) from error
    if not there:
        raise MissingInputError(
            f"{directory} holds no selection: {MANIFEST_FILE} is missing. Name a directory that "
            "`curate select --output` or `save` wrote."
        )
    with reading(path, _again(directory), FileFormatError, "not the manifest of a selection"):
        manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
        check_manifest(manifest, path)
    manifest.setdefault("encoders", [])  # version 1 kept one under another name
    # The digests are `curate verify`'s business: a manifest may have been edited, to be run again.
    return {key: value for key, value in manifest.items() if key not in (FILES_KEY, "digest")}


def _read_table(directory: Path, name: str, manifest: Mapping[str, Any]) -> pa.Table:
    path, remedy = directory / _FOLDER / name, _again(directory)
    if not path.is_file():
        problem = "missing: the selection was saved by a version without reports, or only in part"
        raise MissingInputError(problem, where=path, remedy=remedy)
    with reading(path, remedy, FileFormatError, "damaged, or no file of ours"):
        table = read_file(path)
        about = json.loads((table.schema.metadata or {})[_KEY])
        fingerprint = about["fingerprint"]
        check_format(about["version"], _VERSION, path, FileFormatError)
    if fingerprint != manifest["chosen"]["fingerprint"]:
        problem = f"belongs to another selection than {directory / MANIFEST_FILE}"
        raise FileFormatError(problem, where=path, remedy=remedy)
    return table


def _again(directory: Path) -> str:
    return f"select again: curate select --config {directory / MANIFEST_FILE} --output {directory}"
