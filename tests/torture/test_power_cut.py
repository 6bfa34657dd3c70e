"""After a power cut anywhere: old or new, whole, and what was said to be done is there."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
import pytest
import torch
from power import Disk, digest, write

import curate
from airrep import EmbeddingStore, Example, TextTemplate
from airrep import store as store_module
from airrep.disk.atomic import atomic_directory, atomic_file, write_json
from airrep.engines import Launched
from airrep.supervision import SubsetPlan, read_run, run_file, write_run
from airrep.training.state import Progress, Validated, load_state, save_state
from curate.report.seal import sealed
from eval_harness.files.array_file import read_array, write_array
from eval_harness.files.outputs import claim, read_checksums, write_checksums
from eval_harness.runs.subsets import Uniform, draw_plan


class Cuts:
    """Every state that a cut could have left during what was watched, once."""

    def __init__(self, root, place):
        self.root, self._place = root, place
        self.finished = 0  # how much of the work was said to be done
        self._found = {}

    @contextmanager
    def watched(self):
        disk = Disk(self.root, self._keep)
        with pytest.MonkeyPatch.context() as patch:
            disk.watch(patch.setattr)
            yield
        self._keep(disk)  # right after the work
        assert len(self._found) > 1, "nothing was watched"

    def _keep(self, disk):
        for state in disk.states():
            # Temporary directories are never read: one state stands for all that differ in these.
            read = {path: content for path, content in state.items() if ".tmp" not in path}
            self._found[digest(read)] = state, self.finished

    def __iter__(self):
        """Directories with such a state each, and how much of the work was done by then."""
        for number, (state, finished) in enumerate(self._found.values()):
            place = self._place / str(number)
            write(state, place)
            yield place, finished


@pytest.fixture
def cuts(tmp_path):
    (tmp_path / "disk").mkdir()
    return Cuts(tmp_path / "disk", tmp_path / "cuts")


# --- one file, one directory ---------------------------------------------------------------------


def test_a_new_file_is_there_whole_or_not_at_all_and_stays(cuts):
    with cuts.watched():
        write_json(cuts.root / "deep" / "down" / "x.json", [1, 2, 3])
        cuts.finished = 1
    for place, finished in cuts:
        file = place / "deep" / "down" / "x.json"
        assert file.exists() or not finished
        assert not file.exists() or file.read_text() == "[\n  1,\n  2,\n  3\n]\n"


def test_a_file_is_the_old_one_or_the_new_one(cuts):
    (cuts.root / "x").write_text("old")
    with cuts.watched():
        with atomic_file(cuts.root / "x") as temporary:
            temporary.write_text("new and longer")
        cuts.finished = 1
    found = {((place / "x").read_text(), finished) for place, finished in cuts}
    assert found == {("old", 0), ("new and longer", 1)}


@pytest.mark.parametrize("there", [False, True])
def test_a_directory_is_there_whole_and_stays(cuts, there):
    if there:
        (cuts.root / "out" / "sub").mkdir(parents=True)
        (cuts.root / "out" / "sub" / "b").write_text("old")
    with cuts.watched():
        with atomic_directory(cuts.root / "out") as temporary:
            (temporary / "a").write_text("new and longer")
            (temporary / "sub").mkdir()
            (temporary / "sub" / "b").write_text("new")
        cuts.finished = 1
    for place, finished in cuts:
        a, b = place / "out" / "a", place / "out" / "sub" / "b"
        known = [f.read_text() if f.exists() else None for f in (a, b)]
        if finished:
            assert known == ["new and longer", "new"]
        elif there:  # moved there file by file
            assert known[0] in (None, "new and longer")
            assert known[1] in ("old", "new")
        else:
            assert known in ([None, None], ["new and longer", "new"])


def test_it_can_be_written_anew_after_any_cut(cuts):
    with cuts.watched():
        write_json(cuts.root / "deep" / "x.json", 1)
    for place, _ in cuts:
        write_json(place / "deep" / "x.json", 2)
        assert (place / "deep" / "x.json").read_text() == "2\n"
        assert [path.name for path in (place / "deep").iterdir()] == ["x.json"]


# --- what resumed runs read ----------------------------------------------------------------------


@dataclass
class CountingEncoder:
    """Embeds a text by its digest, and remembers what it was asked for."""

    name: str = "counting"
    template: TextTemplate = field(default_factory=TextTemplate)
    precision: str = "float32"
    fingerprint: str = "one"
    dim: int = 4
    asked: list[str] = field(default_factory=list)

    def encode(self, inputs, /, *, tokens_per_batch=4096):
        self.asked += inputs
        digests = [blake2b(text.encode(), digest_size=8 * self.dim).digest() for text in inputs]
        made = np.array([np.frombuffer(d, dtype=np.uint16)[: self.dim] for d in digests])
        return (made / 2**16).astype(np.float32)


class Workers(Launched):
    """An engine whose shards get names that no other run uses, as those of a cluster's workers."""

    at_once = 2

    def write(self, shards, encoder, *, tokens_per_batch):
        yield from reversed(list(super().write(shards, encoder, tokens_per_batch=tokens_per_batch)))


@pytest.mark.parametrize("engine", [None, Workers()])
def test_a_store_goes_on_and_keeps_every_shard_that_counted(cuts, engine, monkeypatch):
    monkeypatch.setattr(store_module, "_SHARD_ROWS", 2)
    monkeypatch.setattr(store_module, "_FEWEST_ROWS", 2)
    rows = [Example(str(i), f"what is {i}?", f"it is {i}") for i in range(4)]
    add = EmbeddingStore._add

    def added(self, shard):
        add(self, shard)
        cuts.finished += len(shard)

    with monkeypatch.context() as patch, cuts.watched():
        patch.setattr(EmbeddingStore, "_add", added)
        whole = EmbeddingStore(cuts.root / "store").embed(rows, CountingEncoder(), engine=engine)
    for place, finished in cuts:
        encoder = CountingEncoder()
        found = EmbeddingStore(place / "store").embed(rows, encoder, engine=engine)
        assert found[:].tobytes() == whole[:].tobytes()
        assert len(encoder.asked) <= len(rows) - finished
        left = curate.verify(place / "store", repair=True).findings
        assert left == [] or curate.verify(place / "store").fine, (
            "what killed runs leave may be there"
        )


def test_recorded_losses_stay(cuts):
    rows = [Example(str(i), f"question {i}", f"answer {i}") for i in range(6)]
    plan = draw_plan(rows[:4], rows[4:], [(Uniform(2), 2)], repeats=1, seed=0)

    def record(directory):
        plan.save(directory)
        for subset, repeat in plan.runs:
            file = run_file(directory, subset, repeat)
            if not file.exists():
                losses = np.array([1.0 + subset, 2.0])
                write_run(file, plan, losses, {"provenance": {}, "seconds": 1.0})
            cuts.finished += 1

    with cuts.watched():
        record(cuts.root / "losses")
    for place, finished in cuts:
        directory = place / "losses"
        there = [run for run in plan.runs if run_file(directory, *run).exists()]
        assert len(there) >= finished
        assert all(read_run(run_file(directory, *r), plan)[0][0] == 1.0 + r[0] for r in there)
        record(directory)
        assert SubsetPlan.load(directory).fingerprint == plan.fingerprint


def test_an_array_counts_only_with_what_is_known_of_it(cuts):
    with cuts.watched():
        write_array(cuts.root / "scores" / "a.npy", np.arange(3.0), {"seconds": 1})
        cuts.finished = 1
    for place, finished in cuts:
        file = place / "scores" / "a.npy"
        assert file.exists() or not finished
        if file.exists():
            values, facts = read_array(file)
            assert (values.tolist(), facts["seconds"]) == ([0.0, 1.0, 2.0], 1)


def test_a_training_goes_on_from_its_last_state_or_the_one_before(cuts):
    weight = torch.nn.Parameter(torch.zeros(3))
    optimizer = torch.optim.AdamW([weight])

    def save(step):
        with torch.no_grad():
            weight.fill_(step)
        progress = Progress(step, [Validated(step, None, 0.5)], step, {"w": weight.detach()})
        save_state(cuts.root / "state", "run", progress, {"w": weight}, optimizer)
        cuts.finished = step

    with cuts.watched():
        for step in (1, 2):
            save(step)
    for place, finished in cuts:
        found = load_state(place / "state", "run", {"w": weight}, optimizer)
        assert found.step in (finished, finished + 1)
        assert found.step == 0 or weight.detach().tolist() == [found.step] * 3


def test_what_a_directory_belongs_to_and_its_checksums(cuts):
    with cuts.watched():
        claim(cuts.root / "run" / "config.json", {"seed": 1}, "run")
        (cuts.root / "run" / "results.md").write_text("results")  # whose bytes may be lost
        write_checksums(cuts.root / "run", [cuts.root / "run" / "results.md"])
        cuts.finished = 1
    for place, finished in cuts:
        claim(place / "run" / "config.json", {"seed": 1}, "run")
        assert read_checksums(place / "run") or not finished


# --- results -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chosen():
    return curate.select(
        curate.demo_pool(60), curate.demo_targets("email_reply", 2), k=3, scorer="tfidf"
    )


def test_a_saved_selection_stays_and_a_cut_one_can_be_saved_again(chosen, cuts):
    with cuts.watched():
        chosen.save(cuts.root / "chosen")
        cuts.finished = 1
    for place, finished in cuts:
        if not finished:
            chosen.save(place / "chosen")
        assert curate.verify(place / "chosen").fine


def test_a_report_is_the_old_one_or_the_new_one(chosen, cuts):
    old = sealed("old", "0" * 32)  # a report of another selection
    (cuts.root / "report.html").write_text(old)
    with cuts.watched():
        chosen.report(cuts.root / "report.html")
        cuts.finished = 1
    new = (cuts.root / "report.html").read_text("utf-8")
    for place, finished in cuts:
        assert (place / "report.html").read_text("utf-8") in ([new] if finished else [old, new])
