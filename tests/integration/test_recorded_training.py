"""`curate train` on runs that were recorded elsewhere, in the files of AirRep's authors."""

import json
import shutil

import numpy as np
import pytest
import yaml

import curate
from airrep.errors import ArgumentError, FileFormatError, MissingInputError, OutputError
from airrep.supervision import SubsetLosses, example_digests
from curate import cli
from curate.demo_data import demo_pool
from curate.rows.io import read_rows
from eval_harness.encoder_training import recorded

ROWS, SPLITS, SUBSETS, DEV, SIZE = 90, 3, 12, 20, 8
CONFIG = {
    "model": "lm", "pool": "rows.jsonl", "max_tokens": 64,
    "recorded": {"index": "index.jsonl", "losses": "losses"},
    "encoder": {"max_tokens": 64},
    "training": {"dim": 16, "steps": 4, "evaluate_every": 2, "subsets": 6, "targets": 8,
                 "distil": 0},
    "teacher": None,
    "evaluation": {
        "attribution": {"subsets": 4, "validation_subsets": 3, "targets": 5, "validation": 4,
                        "scales": [1, 10]},
        "methods": {"tfidf": {}},
    },
}  # fmt: skip


def _pairs():
    """As their sampler draws them: sorted rows, `dev` apart from the split's subsets."""
    rng = np.random.default_rng(0)
    for split in range(SPLITS):
        order = rng.permutation(ROWS)
        dev, rest = np.sort(order[:DEV]), order[DEV:]
        for number in range(SUBSETS):
            select = np.sort(rng.choice(rest, SIZE, replace=False))
            losses = rng.normal(2, 0.5, DEV)
            pair = {"id": f"{split}-{number}", "select": select.tolist(), "dev": dev.tolist()}
            yield pair | {"dev_id": split}, losses


def _lines(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def published(tmp_path_factory, tiny_lm):
    """A folder with rows, index, losses, the model and a config."""
    folder = tmp_path_factory.mktemp("published")
    shutil.copytree(tiny_lm, folder / "lm")
    rows = demo_pool(ROWS)
    _lines(folder / "rows.jsonl", [{"inputs": r["prompt"], "targets": r["completion"],
                                    "task": r["task"]} for r in rows])  # fmt: skip
    _lines(folder / "index.jsonl", [pair for pair, _ in _pairs()])
    (folder / "losses").mkdir()
    for pair, losses in _pairs():
        content = {"pair_id": pair["id"], "dev_id": pair["dev_id"], "losses": losses.tolist()}
        content["mean_loss"] = losses.mean()
        (folder / "losses" / f"loss-{pair['id']}.json").write_text(json.dumps(content))
    (folder / "train.yaml").write_text(yaml.safe_dump(CONFIG))
    return folder


@pytest.fixture
def mine(published, tmp_path):
    """A copy that may be changed."""
    return shutil.copytree(published, tmp_path / "published")


def _train(folder, output, **changes):
    (folder / "changed.yaml").write_text(yaml.safe_dump({**CONFIG, **changes}))
    return curate.train(folder / "changed.yaml", output)


@pytest.fixture(scope="module")
def trained(published, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained") / "out"
    words = ["train", str(published / "train.yaml"), "--output", str(output), "--quiet"]
    assert cli.main(words) == 0
    return output


def test_every_loss_stands_where_it_was_measured(published, trained):
    """The runs as `SubsetLosses` has them, against the files, text by text."""
    lines = (published / "rows.jsonl").read_text("utf-8").splitlines()
    texts = [json.loads(line)["inputs"] for line in lines]
    truth = {}  # (text of the subset's rows, text of the measured row) to the loss
    for pair, losses in _pairs():
        subset = frozenset(texts[i] for i in pair["select"])
        truth |= {(subset, texts[i]): x for i, x in zip(pair["dev"], losses, strict=True)}
    last = [pair for pair, _ in _pairs() if pair["dev_id"] == SPLITS - 1]
    evaluation = SubsetLosses.load(trained / "evaluation" / "runs-recorded")
    assert evaluation.values.shape == (3 + 4, 1, 4 + 5)
    assert evaluation.plan.roles["validation"].tolist() == [0, 1, 2, 3]
    shapes = []
    for place in sorted(trained.glob("split-*")):
        losses = SubsetLosses.load(place)
        shapes.append(losses.values.shape)
        assert set(losses.plan.kinds) == {"recorded"}
    held = {evaluation.plan.evaluation[i].tobytes() for i in range(9)}
    others = [SubsetLosses.load(p).plan.evaluation for p in sorted(trained.glob("split-*"))]
    assert not held & {row.tobytes() for rows in others for row in rows}, "nothing is learned of it"
    assert shapes[-1] == (SUBSETS - 7, 1, DEV - 9)
    assert all(shape[0] == SUBSETS for shape in shapes[:-1])
    assert len(last) == SUBSETS
    rows = list(read_rows(published / "rows.jsonl", "rows").examples().examples)
    text_of = {d.tobytes(): t for d, t in zip(example_digests(rows), texts, strict=True)}
    checked = 0
    for losses in (evaluation, *(SubsetLosses.load(p) for p in trained.glob("split-*"))):
        plan = losses.plan
        for s, subset in enumerate(plan.subsets):
            key = frozenset(text_of[plan.pool[i].tobytes()] for i in subset)
            for e, digest in enumerate(plan.evaluation):
                assert losses.values[s, 0, e] == truth[key, text_of[digest.tobytes()]]
                checked += 1
    assert checked == sum(int(np.prod(shape)) for shape in [*shapes, (7, 9)])


def test_what_is_written_says_what_is_not_known(trained, capsys):
    text = (trained / "results.md").read_text("utf-8")
    card = (trained / "encoder" / "README.md").read_text("utf-8")
    assert "| recorded 12 |" in text
    assert "not known: recorded elsewhere" in text
    assert "nan" not in text + card
    assert "how is not known" in card
    assert "random subsets of rows, of what is predicted" in card
    assert "rows of subsets that were learned from." in card
    assert "No row is, word for word" not in card
    for name in ("trained", "untrained", "tfidf"):
        assert f"\n| {name} |" in text
    assert cli.main(["verify", str(trained)]) == 0, capsys.readouterr().out


@pytest.mark.slow
def test_an_interrupted_import_goes_on_and_ends_the_same(published, trained, tmp_path, monkeypatch):
    read, done = recorded.read_losses_file, []

    def stop(file, *given):
        if len(done) == 20:
            raise KeyboardInterrupt
        done.append(file.name)
        return read(file, *given)

    monkeypatch.setattr(recorded, "read_losses_file", stop)
    with pytest.raises(KeyboardInterrupt):
        curate.train(published / "train.yaml", tmp_path / "out")

    def again(file, *given):
        assert file.name not in done
        return read(file, *given)

    monkeypatch.setattr(recorded, "read_losses_file", again)
    curate.train(published / "train.yaml", tmp_path / "out")
    for name in ("model.safetensors", "config.json"):
        first, second = (d / "encoder" / name for d in (trained, tmp_path / "out"))
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.slow
def test_runs_of_record_are_exported_and_learned_from(published, tmp_path):
    pool, held_out = demo_pool(30), demo_pool(14, seed=5)
    curate.record(
        pool, held_out, published / "lm", tmp_path / "runs", subsets=10, size=5, epochs=1,
        batch_size=5, max_tokens=64, repeats=2,
    )  # fmt: skip
    folder = tmp_path / "published"
    curate.export(tmp_path / "runs", pool, held_out, folder, layout="training")
    shutil.copytree(published / "lm", folder / "lm")
    _train(folder, tmp_path / "out")
    mine, theirs = (
        SubsetLosses.load(tmp_path / place) for place in ("runs", "out/evaluation/runs-recorded")
    )
    where = {row.tobytes(): i for i, row in enumerate(mine.plan.evaluation)}
    columns = [where[row.tobytes()] for row in theirs.plan.evaluation]
    expected = mine.values.mean(axis=1)[-7:][:, columns]
    np.testing.assert_array_equal(theirs.values[:, 0], expected)


def test_rows_that_cannot_be_read(mine, tmp_path):
    lines = (mine / "rows.jsonl").read_text().splitlines()
    last = json.loads(lines[-1]) | {"targets": ""}
    (mine / "rows.jsonl").write_text("\n".join([*lines[:-1], json.dumps(last)]) + "\n")
    with pytest.raises(ValueError, match=rf"rows\.jsonl, row {ROWS - 1} .*'targets' is empty"):
        _train(mine, tmp_path / "out")
    _train(mine, tmp_path / "out", recorded={**CONFIG["recorded"], "on_bad_row": "skip"})
    sizes = {
        len(subset)
        for place in (tmp_path / "out").glob("split-*")
        for subset in SubsetLosses.load(place).plan.subsets
    }
    assert sizes == {SIZE, SIZE - 1}


def test_files_that_do_not_fit(mine, tmp_path):
    def refused(kind, message, **changes):
        with pytest.raises(kind, match=message):
            _train(mine, tmp_path / "out", **changes)

    pairs, index = [pair for pair, _ in _pairs()], mine / "index.jsonl"
    _lines(index, [*pairs[:3], {**pairs[3], "select": [0, ROWS]}, *pairs[4:]])
    refused(FileFormatError, rf"index\.jsonl, line 4: select holds row {ROWS}; there are {ROWS} r")
    _lines(index, [*pairs[:3], {**pairs[3], "id": "0-0"}])
    refused(FileFormatError, r"line 4: the id '0-0' stands on a line before")
    _lines(index, [*pairs[:3], {**pairs[3], "id": "../0"}])
    refused(FileFormatError, r"line 4: id is '\.\./0', expected a number or a text that a file")
    _lines(index, [*pairs[:3], {**pairs[3], "dev": pairs[3]["dev"][:-1]}])
    refused(FileFormatError, r"line 4: dev has other rows than on the first line with dev_id 0")
    _lines(index, pairs)
    file = mine / "losses" / "loss-1-5.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"losses": content["losses"][1:]}))
    refused(FileFormatError, rf"loss-1-5\.json: losses has 19 numbers, expected one for .*{DEV} r")
    file.write_text(json.dumps(content | {"losses": [float("nan"), *content["losses"][1:]]}))
    refused(FileFormatError, r"loss-1-5\.json: losses is nan at position 0")
    file.write_text(json.dumps(content | {"pair_id": "1-6"}))
    refused(FileFormatError, r"loss-1-5\.json: pair_id is '1-6', expected '1-5'")
    file.unlink()
    refused(MissingInputError, r"loss-1-5\.json: cannot be read \(No such file")
    index.unlink()
    refused(MissingInputError, r"index\.jsonl: cannot be read \(No such file")


def test_a_directory_is_bound_to_its_index(mine, trained, tmp_path):
    output = shutil.copytree(trained, tmp_path / "out")
    pairs = [pair for pair, _ in _pairs()]
    _lines(mine / "index.jsonl", [*pairs[1:], pairs[0]])
    shutil.copy(mine / "train.yaml", mine / "again.yaml")
    with pytest.raises(OutputError):
        curate.train(mine / "again.yaml", output)


def test_what_cannot_be_asked_for(mine, tmp_path):
    def refused(message, **changes):
        with pytest.raises(ArgumentError, match=message):
            _train(mine, tmp_path / "out", **changes)

    refused("targets and recorded are both given", targets="rows.jsonl")
    refused("supervision and recorded are both given", supervision={"splits": 2})
    refused("evaluation.test and recorded are both given", evaluation={"test": "rows.jsonl"})
    refused("targets is missing; name the examples", recorded=None)
    many = {"attribution": {"subsets": 10, "validation_subsets": 3}}
    refused(r"validation_subsets and subsets are 13 together, but the last split .* has 12 subs",
            evaluation=many)  # fmt: skip
    rows = {"attribution": {**CONFIG["evaluation"]["attribution"], "targets": 17}}
    refused(r"validation and targets are 21 together, .*\(dev_id 2\) has 20 measured rows",
            evaluation=rows)  # fmt: skip
    _lines(mine / "index.jsonl", [pair for pair, _ in _pairs() if pair["dev_id"] == 0][:7])
    refused("nothing is left to learn from")
