"""Downstream trials with a tiny model: what is trained, measured, kept and resumed."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from airrep.errors import ArgumentError, LossError
from airrep.language_model.losses import completion_losses
from airrep.records import normalize
from curate.demo_data import demo_pool, demo_targets
from eval_harness.benchmark.config import AccuracyConfig, SelectionConfig
from eval_harness.benchmark.methods import ScoreFiles, make_method
from eval_harness.benchmark.problems import Problems, Rows
from eval_harness.benchmark.tables import summarize_trials, trials_markdown
from eval_harness.benchmark.trials import Arm, Trials
from eval_harness.runners.base import TrainingRun
from eval_harness.runners.recipe import Recipe
from eval_harness.runners.stacked import StackedRunner
from selection.selectors import make_selector

TASKS = ["email_reply", "sql_query"]
TIMES = {"select_seconds", "train_seconds"}
CONFIG = SelectionConfig(
    budgets={"present": [4], "wrong_labels": [4]}, targets=3, evaluation=5, seeds=1,
    wrong_share=0.5, scorers=["tfidf", "bm25"], selector="round_robin",
    selectors=["top_k_mean"], selectors_with=["tfidf"],
    accuracy=AccuracyConfig(rows=2, max_new_tokens=2),
)  # fmt: skip


def _as_rows(rows):
    examples = [normalize(row, index=i) for i, row in enumerate(rows)]
    return Rows(examples, [""] * len(examples))


@pytest.fixture(scope="module")
def files():
    """Pool, targets and test rows of a few demo tasks."""
    pool = [row for row in demo_pool(400) if row["task"] in (*TASKS, "dialogue_summary")]
    held_out = {task: demo_targets(task, 14) for task in TASKS}
    return (
        _as_rows(pool),
        _as_rows([row for rows in held_out.values() for row in rows[:8]]),
        _as_rows([row for rows in held_out.values() for row in rows[8:]]),
    )


@dataclass
class Watched:
    """A runner that remembers what it was asked to train."""

    runner: StackedRunner
    runs: list[TrainingRun]

    def __getattr__(self, name):
        return getattr(self.runner, name)

    def train(self, runs):
        self.runs += runs
        return self.runner.train(runs)


@pytest.fixture(scope="module")
def make(files, small_lm):
    methods = {name: make_method(name, {}, small_lm) for name in ("tfidf", "bm25", "airrep")}

    def build(directory, config=CONFIG, **recipe):
        chosen = Recipe(**{"epochs": 1, "learning_rate": 1e-2, "batch_size": 2,
                           "precision": "float32", **recipe})  # fmt: skip
        runner = Watched(StackedRunner(small_lm, chosen, 4), [])
        problems = Problems(*files, config, 0)
        scores = ScoreFiles(directory / "scores")
        return Trials(config, problems, methods, scores, runner, directory)

    return build


@pytest.fixture(scope="module")
def done(make, tmp_path_factory):
    """Trials that were run, and their rows."""
    trials = make(tmp_path_factory.mktemp("trials"))
    return trials, trials.run(progress=False)


def _timeless(rows):
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows]


def test_there_is_a_row_for_every_job_and_arm(done):
    trials, rows = done
    arms = ["no fine-tuning", "random", "length_matched", "same_source", "tfidf · round_robin",
            "bm25 · round_robin", "tfidf · top_k_mean"]  # fmt: skip
    jobs = [(s, t, 0, 4) for s in ("present", "wrong_labels") for t in TASKS]
    found = [(r["setting"], r["source"], r["seed"], r["budget"], r["arm"]) for r in rows]
    assert found == [(*job, arm) for job in jobs for arm in arms]
    assert [arm.name for arm in trials.arms] == arms[1:]


def test_loss_is_the_mean_of_the_losses(done):
    for row in done[1]:
        assert len(row["losses"]) == 5
        assert row["loss"] == pytest.approx(np.mean(row["losses"]), abs=1e-12)
        assert all(0 <= row[name] <= 1 for name in ("exact", "f1", "ranked"))


def test_untrained_losses_are_the_models_own(done, small_lm):
    trials, rows = done
    problem = trials.problems.make("present", TASKS[0], 0)
    evaluation = [trials.problems.test.examples[i] for i in problem.evaluation]
    expected = completion_losses(small_lm, evaluation)
    np.testing.assert_allclose(rows[0]["losses"], expected, atol=1e-5)
    assert rows[0]["own_source"] is None


def test_all_arms_of_a_job_train_with_its_seed_on_as_many_rows(make, tmp_path):
    config = replace(CONFIG, budgets={"present": [4]}, seeds=2, accuracy=None)
    trials = make(tmp_path, config)
    rows = trials.run(progress=False)
    runs = trials.runner.runs
    assert [run.seed for run in runs] == [0] * 12 + [1] * 12
    assert {len(run.examples) for run in runs} == {4}
    assert "exact" not in rows[0]
    shown = {tuple(trials.problems.make("present", TASKS[0], s).evaluation) for s in (0, 1)}
    assert len(shown) == 1


def test_what_is_trained_on_is_what_the_selector_picks(make, tmp_path):
    config = replace(CONFIG, budgets={"removed": [4]}, sources=TASKS[:1], accuracy=None)
    trials = make(tmp_path, config)
    rows = trials.run(progress=False)
    assert all(row["own_source"] in (None, 0.0) for row in rows)
    problem = trials.problems.make("removed", TASKS[0], 0)
    targets = [trials.problems.targets.examples[i] for i in problem.targets]
    pool = trials.problems.pool.examples
    # scored over the whole pool, selected from what is left of it
    scores = trials.methods["tfidf"].scorer.score(targets, pool).columns(problem.pool)
    chosen = problem.pool[make_selector("round_robin").select(scores, 4).indices]
    assert trials.arms[3] == Arm("tfidf", "round_robin")
    assert trials.runner.runs[3].examples == [pool[i] for i in chosen]


def test_wrong_rows_and_own_rows_are_counted(make, tmp_path):
    config = replace(CONFIG, budgets={"wrong_labels": [6]}, sources=TASKS[1:], accuracy=None)
    trials = make(tmp_path, config)
    rows = trials.run(progress=False)[1:]
    clean, wrong = trials.problems.pool.examples, trials.problems.wrong_pool
    assert 0 < len(wrong[1]) < len(clean)
    for row, run in zip(rows, trials.runner.runs, strict=True):
        assert row["wrong"] == pytest.approx(np.mean([e not in clean for e in run.examples]))
        own = np.mean([e.source == TASKS[1] for e in run.examples])
        assert row["own_source"] == pytest.approx(own)
    assert rows[2]["arm"] == "same_source"
    assert rows[2]["own_source"] == 1.0


@pytest.mark.slow
def test_the_scale_of_a_method_and_of_one_of_its_selectors(make, tmp_path, monkeypatch):
    config = replace(CONFIG, scales={"tfidf": 7, "tfidf/top_k_mean": 2}, accuracy=None)
    seen = []

    def spy(name, **options):
        if options:
            seen.append((name, options["scale"]))
        return make_selector(name, **options)

    monkeypatch.setattr("eval_harness.benchmark.trials.make_selector", spy)
    make(tmp_path, config).run(progress=False)
    assert seen[:3] == [("round_robin", 7), ("round_robin", None), ("top_k_mean", 2)]


@pytest.mark.slow
def test_without_a_selector_every_method_has_its_own(make, tmp_path):
    config = replace(
        CONFIG, budgets={"removed": [4]}, sources=TASKS[:1], accuracy=None, selector=None,
        scorers=["airrep", "tfidf"], selectors=[], selectors_with=[],
    )  # fmt: skip
    trials = make(tmp_path, config)
    assert trials.arms[3:] == [Arm("airrep", "herding"), Arm("tfidf", "layered_greedy")]
    trials.run(progress=False)
    problem = trials.problems.make("removed", TASKS[0], 0)
    targets = [trials.problems.targets.examples[i] for i in problem.targets]
    pool = trials.problems.pool.examples
    left = [pool[i] for i in problem.pool.tolist()]
    scores = trials.methods["airrep"].scorer.score(targets, left)
    chosen = make_selector("herding").select(scores, 4).indices
    assert trials.runner.runs[3].examples == [left[i] for i in chosen]
    scaled = make(tmp_path / "scaled", replace(config, scales={"airrep": 5.0}))
    assert scaled.arms[3] == Arm("airrep", "layered_greedy")


def test_what_is_done_is_kept_and_the_rest_comes_out_the_same(done, make, tmp_path):
    trials, rows = done
    files = sorted((trials.directory / "trials").glob("*.json"))
    assert len(files) == 4
    kept = files[::2]
    (tmp_path / "trials").mkdir()
    for file in kept:
        (tmp_path / "trials" / file.name).write_bytes(file.read_bytes())
    resumed = make(tmp_path)
    assert _timeless(resumed.run(progress=False)) == _timeless(rows)
    assert len(resumed.runner.runs) == 2 * 6, "two jobs of six arms"
    again = make(tmp_path)
    assert again.run(progress=False) == resumed.run(progress=False)
    assert again.runner.runs == []


def test_a_source_may_be_called_anything(files, make, tmp_path):
    named = [
        Rows([replace(e, source=f"hub/{e.source}: ü") for e in rows.examples], rows.templates)
        for rows in files
    ]
    config = replace(CONFIG, sources=[f"hub/{TASKS[0]}: ü"], accuracy=None)
    trials = replace(make(tmp_path), config=config, problems=Problems(*named, config, 0))
    assert {row["source"] for row in trials.run(progress=False)} == {f"hub/{TASKS[0]}: ü"}
    assert len(list((tmp_path / "trials").glob("*.json"))) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"scorers": ["rds"]},
            r"method 'rds' is not among the config's methods \(tfidf, bm25, air",
        ),
        ({"scorers": ["random"]}, r"'random' is a control, which is compared anyway"),
        ({"selectors_with": ["same_source"]}, r"'same_source' is a control"),
        ({"selector": "magic"}, r"selector 'magic' is unknown"),
        ({"selectors": ["magic"]}, r"selector 'magic' is unknown"),
        ({"scales": {"rds": 2}}, r"selection\.scales: nothing is compared by the name 'rds'"),
        ({"scales": {"bm25/top_k_mean": 2}}, r"nothing is compared by the name 'bm25/top_k_mean'"),
        ({"budgets": {"present": [9999]}}, r"budget 9999 is larger than the pool of present, emai"),
        ({"selector": "herding"}, r"scores by 'tfidf' have none"),
        ({"sources": ["nowhere"]}, r"source 'nowhere': not enough rows"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_trained(changes, message, make, tmp_path):
    trials = make(tmp_path, replace(CONFIG, **changes))
    with pytest.raises(ArgumentError, match=message):
        trials.run(progress=False)
    assert trials.runner.runs == []


def test_a_loss_that_is_not_finite_is_not_a_result(make, tmp_path):
    config = replace(CONFIG, budgets={"present": [8]}, sources=TASKS[:1], accuracy=None)
    with pytest.raises(LossError, match="learning rate"):
        make(tmp_path, config, learning_rate=1e30, epochs=4).run(progress=False)
    assert list((tmp_path / "trials").glob("*.json")) == []


@pytest.mark.slow
def test_a_budget_of_auto_is_what_the_first_scorer_takes_and_all_arms_train_on_so_many(
    make, tmp_path
):
    config = replace(
        CONFIG, budgets={"present": ["auto", 4]}, selector="layered_greedy", accuracy=None, steps=6
    )
    trials = make(tmp_path, config)
    trials = replace(trials, runner=trials.runner.runner)
    rows = trials.run(progress=False)
    problem = trials.problems.make("present", TASKS[0], 0)
    selector = make_selector("layered_greedy")
    size = len(selector.select_best_size(trials._scores(problem, "tfidf")))
    auto = [row for row in rows if row["budget"] == "auto" and row["source"] == TASKS[0]]
    assert {row["rows"] for row in auto} == {size}
    assert len(auto) == len(trials.arms) + 1
    assert {row["rows"] for row in rows if row["budget"] == 4} == {4}
    assert "present, rows by k = auto" in trials_markdown(summarize_trials(rows))


@pytest.mark.slow
def test_steps_set_the_number_of_epochs(make, tmp_path, monkeypatch):
    trained = []
    train = StackedRunner.train
    monkeypatch.setattr(
        StackedRunner,
        "train",
        lambda runner, runs: trained.append(runner.recipe) or train(runner, runs),
    )
    trials = make(tmp_path, replace(CONFIG, budgets={"present": [4]}, accuracy=None, steps=6))
    replace(trials, runner=trials.runner.runner).run(progress=False)
    assert {recipe.epochs for recipe in trained} == {3}
    assert {recipe.steps(4) for recipe in trained} == {6}


def test_a_budget_of_auto_needs_a_selector_with_an_objective(make, tmp_path):
    config = replace(CONFIG, budgets={"present": ["auto"]}, selector="round_robin")
    with pytest.raises(ArgumentError, match="'round_robin' has no objective"):
        make(tmp_path, config).check()
