"""Real instruction data, where it lies beside the repository; elsewhere these are skipped."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

import curate

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data beside the repository"),
]
SOURCES = ["samsum", "sciq", "ag_news", "wiki_bio"]


def _t0(split, rows_per_source):
    table = pq.read_table(DATA / "t0.parquet", filters=[("split", "=", split)]).to_pandas()
    rows = table[table.dataset.isin(SOURCES)].groupby("dataset").head(rows_per_source)
    return rows.drop(columns="split").reset_index(drop=True)


@pytest.mark.parametrize("file", ["t0", "flan_cot", "gsm8k_train", "gsm8k_test"])
def test_every_row_of_every_file_is_read(file):
    from curate.rows.io import read_rows

    rows = read_rows(DATA / f"{file}.parquet", "pool")
    read = rows.examples()
    assert len(read.examples) == pq.read_metadata(DATA / f"{file}.parquet").num_rows
    assert read.skipped == []


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
def test_picks_come_from_the_targets_source(source, encoder, tmp_path_factory):
    pool, targets = _t0("pool", 60), _t0("target", 8)
    store = tmp_path_factory.getbasetemp() / "t0_store"  # encoded once for the four sources
    wanted = targets[targets.dataset == source]
    chosen = curate.select(pool, wanted, 30, encoder=encoder, store=store)
    found = [chosen.insight.sources[i] for i in chosen.selection.indices]
    assert found.count(source) >= 0.9 * len(found)
    assert set(chosen.to_trl().column_names) == {"prompt", "completion"}
