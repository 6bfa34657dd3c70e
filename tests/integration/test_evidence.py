"""`record` and `lds`: runs on disk, scores against them, from Python and the command line."""

import json
import shutil

import numpy as np
import pytest
from scipy.stats import spearmanr, zscore
from transformers import AutoTokenizer

import curate
from airrep.errors import (
    ArgumentError,
    CheckpointError,
    EmbeddingError,
    FileFormatError,
    MissingInputError,
    RecordError,
    SupervisionError,
)
from airrep.language_model import losses as example_loss
from airrep.language_model.losses import completion_losses
from airrep.language_model.model import LanguageModel
from airrep.records import Example, normalize
from airrep.supervision import SubsetLosses
from curate import cli
from curate.demo_data import demo_pool
from curate.stages.recorded_model import remember_model
from selection.scorers import GradientScorer, TfidfScorer
from selection.scorers.score_average import AVERAGE_SCALE

POOL, HELD_OUT = demo_pool(40), demo_pool(9, seed=5)
QUICK = {
    "subsets": 6, "size": 8, "repeats": 2, "epochs": 1, "batch_size": 4, "learning_rate": 1e-2,
    "stack": 4, "max_tokens": 64,
}  # fmt: skip


def _write(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_lm):
    """A folder with pool.jsonl, heldout.jsonl, the model in lm, and its runs in runs."""
    folder = tmp_path_factory.mktemp("evidence")
    _write(folder / "pool.jsonl", POOL)
    _write(folder / "heldout.jsonl", HELD_OUT)
    shutil.copytree(tiny_lm, folder / "lm")
    done = _record(folder, folder / "runs")
    assert done.note == ""
    return folder


@pytest.fixture
def here(place, monkeypatch):
    monkeypatch.chdir(place)
    return place


def _record(folder, output, **changes):
    settings = {"model": folder / "lm", "output": output, **QUICK, **changes}
    return curate.record(folder / "pool.jsonl", folder / "heldout.jsonl", **settings)


def _lds(folder, **options):
    files = {"pool": folder / "pool.jsonl", "evaluation": folder / "heldout.jsonl"}
    return curate.lds(**{"runs": folder / "runs", **files, "draws": 0, **options})


def _examples(rows):
    return [normalize(row, index=i) for i, row in enumerate(rows)]


def _by_hand(scores, losses, scale):
    """LDS by the definition: softmax-weighted means, Spearman, mean over targets."""
    found = []
    for target, mine in enumerate(np.asarray(scores, dtype=np.float64)):
        predicted = []
        for subset in losses.plan.subsets:
            weights = np.exp(scale * np.abs(mine[subset]))
            predicted.append((weights * mine[subset]).sum() / weights.sum())
        found.append(spearmanr(predicted, -losses.values[:, :, target].mean(axis=1)).statistic)
    return np.mean(found)


def _model(folder):
    return LanguageModel.from_pretrained(folder / "lm", max_tokens=64)


def test_what_was_recorded(place):
    losses = SubsetLosses.load(place / "runs")
    assert losses.values.shape == (6, 2, 9)
    assert {len(subset) for subset in losses.plan.subsets} == {8}
    assert (losses.provenance["runner"], losses.provenance["stack"]) == ("stacked", 4)
    facts = json.loads((place / "runs" / "model.json").read_text())
    assert facts["model"] == str(place / "lm")
    assert (facts["separator"], facts["max_tokens"]) == ("", 64)
    model = _model(place)
    assert facts["fingerprint"] == losses.provenance["model"] == model.fingerprint
    before = completion_losses(model, _examples(HELD_OUT))
    np.testing.assert_allclose(facts["losses"], before, rtol=1e-12)
    assert losses.values.mean() < before.mean() - 0.05, "training has helped"


def test_resuming_gives_the_same_losses(place, tmp_path):
    whole = SubsetLosses.load(place / "runs")
    shutil.copytree(place / "runs", tmp_path / "runs")
    files = sorted((tmp_path / "runs" / "runs").glob("*.safetensors"))
    assert len(files) == 12
    for file in files[::2]:
        file.unlink()
    with pytest.raises(SupervisionError, match=r"6 of 12 runs are missing \(subset 0 r"):
        _lds(place, runs=tmp_path / "runs", scorer="tfidf")
    again = _record(place, tmp_path / "runs")
    assert again.values.tobytes() == whole.values.tobytes()


@pytest.mark.slow
def test_lds_of_scorers_by_hand(place):
    losses = SubsetLosses.load(place / "runs")
    pool, held_out = _examples(POOL), _examples(HELD_OUT)
    for name, scorer in (("tfidf", TfidfScorer()), ("gradient", GradientScorer(_model(place)))):
        scores = scorer.score(held_out, pool)
        expected = _by_hand(scores.values(), losses, scores.scale)
        assert _lds(place, scorer=name).mean == pytest.approx(expected, abs=1e-9)
        assert _lds(place, scorer=scorer).mean == pytest.approx(expected, abs=1e-9)


@pytest.mark.slow
def test_lds_of_a_list_by_hand(place):
    losses, names = SubsetLosses.load(place / "runs"), ["tfidf", "gradient"]
    pool, held_out = _examples(POOL), _examples(HELD_OUT)
    scorers = (TfidfScorer(), GradientScorer(_model(place)))
    scores = [scorer.score(held_out, pool).values().astype(float) for scorer in scorers]
    average = np.mean([zscore(values, axis=1) for values in scores], axis=0)
    expected = _by_hand(average, losses, AVERAGE_SCALE)
    assert _lds(place, scorer=names).mean == pytest.approx(expected, abs=1e-9)
    with pytest.raises(ArgumentError, match=r"scorer 'nope' is unknown"):
        _lds(place, scorer=["tfidf", "nope"])


def test_lds_of_own_scores_by_hand(place, tmp_path):
    losses = SubsetLosses.load(place / "runs")
    scores = np.random.default_rng(0).normal(size=(9, 40))
    np.save(tmp_path / "own.npy", scores)
    expected = _by_hand(scores, losses, 1.0)
    found = _lds(place, scores=tmp_path / "own.npy", draws=50)
    assert found.mean == pytest.approx(expected, abs=1e-9)
    assert found.low < found.mean < found.high
    assert found.ceiling.repeats == 2
    assert _lds(place, scores=scores).mean == found.mean
    mean = _lds(place, scores=scores, pooling="mean").mean
    assert mean == pytest.approx(_by_hand(scores, losses, 0.0), abs=1e-9)


def test_the_command_line_from_end_to_end(here, tmp_path, capsys):
    output = str(tmp_path / "runs")
    quick = [f"--{name}={value}" for name, value in QUICK.items()]
    files = ["--pool", "pool.jsonl", "--evaluation", "heldout.jsonl", "--progress", "false"]
    command = ["record", *files, "--model", "lm", "--output", output, *quick]
    assert cli.main(command) == 0
    out = capsys.readouterr().out
    assert "12: 6 subsets (uniform) of 8 of 40 pool rows, 2 times each" in out
    assert "stacked (" in out
    assert " before, " in out
    assert "ceiling " in out
    assert out.endswith(f"wrote   {output}\n")
    np.save(tmp_path / "own.npy", np.arange(360).reshape(9, 40))
    for options in (["--scorer", "tfidf"], ["--scorer", "rds"], ["--scorer", "gradient_cosine"],
                    ["--scorer", "[tfidf, rds]"],
                    ["--scores", str(tmp_path / "own.npy"), "--pooling", "mean"]):  # fmt: skip
        assert cli.main(["lds", "--runs", output, *files, *options]) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"{options[1].strip('[]').replace(',', ' +')}: LDS ")
        assert "over 6 subsets × 9 targets (ceiling 0." in out
        assert out.count("\n") == 1


@pytest.mark.slow
def test_the_trl_runner_and_a_model_that_cannot_be_stacked(place, tmp_path, make_lm):
    settings = {"subsets": 3, "size": 0.05, "repeats": 1}
    done = _record(place, tmp_path / "trl", runner="trl", **settings)
    assert (done.provenance["runner"], done.note) == ("trl", "")
    assert {len(subset) for subset in done.plan.subsets} == {2}
    assert "only one run of each subset" in done.summary()

    model = make_lm("gpt2").network.float()
    model.config.attn_pdrop = 0.1
    model.save_pretrained(tmp_path / "dropout")
    AutoTokenizer.from_pretrained(place / "lm").save_pretrained(tmp_path / "dropout")
    done = _record(place, tmp_path / "auto", model=tmp_path / "dropout", **settings)
    assert done.provenance["runner"] == "direct"
    assert "trains with dropout" in done.summary()
    with pytest.raises(ArgumentError, match="dropout"):
        _record(
            place, tmp_path / "s", model=tmp_path / "dropout", runner="stacked", **settings
        )  # fmt: skip


@pytest.mark.parametrize("kind", ["stratified", "few_sources"])
def test_kinds_of_subsets(place, tmp_path, kind):
    with pytest.raises(ArgumentError, match="needs pool rows of at least 2 sources; all say 'p'"):
        curate.record(
            [{"prompt": "a", "completion": str(i), "task": "p"} for i in range(9)],
            HELD_OUT, place / "lm", tmp_path, kind=kind, **QUICK,
        )  # fmt: skip
    done = _record(place, tmp_path, kind=kind, **{**QUICK, "subsets": 3, "repeats": 1})
    assert set(done.plan.kinds) == {kind}


RECORD_ERRORS = {
    "larger than the pool": ({"size": 41}, ArgumentError, "41 is out of range.*1 to 40 rows"),
    "unknown runner": ({"runner": "nope"}, ArgumentError, "runner 'nope' is unknown; choose auto"),
    "unknown kind": ({"kind": "nope"}, ArgumentError, "kind 'nope' is unknown; choose from"),
    "two subsets": ({"subsets": 2}, ArgumentError, "at least 3 subsets .LDS ranks them"),
    "no stack": ({"stack": 0}, ArgumentError, "a stack of 1 or more, found 6 and 0"),
    "recipe": ({"trainable": "half"}, ArgumentError, "trainable 'half' is not understood"),
    "too many blocks": ({"trainable": "last:9"}, ArgumentError, "last:9: the model has 2 blocks"),
    "no model": ({"model": "./nope"}, MissingInputError, "'./nope' is not a directory"),
}  # fmt: skip


@pytest.mark.parametrize("case", RECORD_ERRORS)
def test_what_record_refuses(place, tmp_path, case):
    changes, kind, message = RECORD_ERRORS[case]
    with pytest.raises(kind, match=message):
        _record(place, tmp_path, **changes)
    assert not list(tmp_path.rglob("*.safetensors"))[1:], "no run was made"


@pytest.mark.parametrize("completion", ["", "  \n", None])
@pytest.mark.parametrize("role", ["pool", "heldout"])
def test_an_empty_completion_is_said_with_file_and_row(here, tmp_path, capsys, role, completion):
    rows = {"pool": POOL, "heldout": HELD_OUT}
    for name, given in rows.items():
        broken = [*given[:4], {**given[4], "completion": completion}, *given[5:]]
        _write(tmp_path / f"{name}.jsonl", broken if name == role else given)
    status = cli.main(
        ["record", "--pool", str(tmp_path / "pool.jsonl"), "--evaluation",
         str(tmp_path / "heldout.jsonl"), "--model", "lm", "--output", str(tmp_path / "out"),
         "--size", "8"]
    )  # fmt: skip
    found = capsys.readouterr().err
    assert status == 1
    assert found.startswith(f"curate record: {tmp_path / role}.jsonl, row 4 (counting from 0): ")
    assert found.count("\n") == 1


def test_a_completion_without_tokens_of_its_own_is_said_with_file_and_row(place, tmp_path):
    shutil.copytree(place / "lm", tmp_path / "lm")
    tokenizer = AutoTokenizer.from_pretrained(place / "lm")
    tokenizer.chat_template = (  # it leaves out what is said
        "{% for m in messages %}{{ m.role }}{% endfor %}"
        "{% if add_generation_prompt %}assistant{% endif %}"
    )
    tokenizer.save_pretrained(tmp_path / "lm")
    _write(tmp_path / "a.jsonl", [{"text": "plain"}] * 5)
    pair = {"prompt": [{"role": "user", "content": "p"}], "completion": "c"}
    _write(tmp_path / "b.jsonl", [{"text": "plain"}, pair])
    with pytest.raises(RecordError, match=r"b\.jsonl, row 1 \(counting from 0\): .*no token"):
        curate.record(
            str(tmp_path / "[ab].jsonl"), [{"text": "other"}], tmp_path / "lm", tmp_path / "out",
            size=2,
        )  # fmt: skip


def test_an_evaluation_row_that_is_in_the_pool(place, tmp_path):
    with pytest.raises(ArgumentError, match=r"evaluation row 9 .* is also pool row 3 "):
        curate.record(POOL, [*HELD_OUT, POOL[3]], place / "lm", tmp_path, **QUICK)


def test_a_model_without_an_end_of_text_token(place, tmp_path):
    shutil.copytree(place / "lm", tmp_path / "lm")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "lm")
    tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path / "lm")
    with pytest.raises(CheckpointError, match="the tokenizer has no end-of-text token"):
        _record(place, tmp_path / "out", model=tmp_path / "lm")


def test_rows_and_models_are_those_of_the_runs(here, tmp_path, capsys):
    changed = [*POOL[:7], {**POOL[7], "completion": "something else"}, *POOL[8:]]
    _write(tmp_path / "changed.jsonl", changed)
    _write(tmp_path / "fewer.jsonl", POOL[:30])
    command = ["lds", "--runs", "runs", "--evaluation", "heldout.jsonl", "--scorer", "tfidf"]
    assert cli.main([*command, "--pool", str(tmp_path / "changed.jsonl")]) == 1
    found = capsys.readouterr().err
    assert "1 pool row changed since the plan was drawn" in found
    assert "position 7 (id '7')" in found
    assert cli.main([*command, "--pool", str(tmp_path / "fewer.jsonl")]) == 1
    assert "the plan was drawn for 40 pool rows, found 30" in capsys.readouterr().err
    with pytest.raises(SupervisionError, match="holds the runs of another plan"):
        _record(here, here / "runs", seed=1)


def _other_model(folder, destination):
    model = LanguageModel.from_pretrained(folder / "lm")
    next(model.network.parameters()).data.mul_(1.5)
    model.network.save_pretrained(destination)
    model.tokenizer.save_pretrained(destination)
    return destination


def test_runs_of_another_model(place, tmp_path):
    other = _other_model(place, tmp_path / "other")
    for scorer in ("tfidf", "gradient"):
        with pytest.raises(SupervisionError, match=r"holds runs of another model .* than "):
            _lds(place, scorer=scorer, model=other)
    with pytest.raises(SupervisionError, match=r"holds runs of another model \(/"):
        _record(place, place / "runs", model=other)
    facts = json.loads((place / "runs" / "model.json").read_text())
    assert facts["model"] == str(place / "lm"), "the refusal changed nothing"


def test_of_two_models_that_begin_at_once_one_is_refused(place, tmp_path, monkeypatch):
    """The other is written down while this one's losses are measured."""
    models = place / "lm", _other_model(place, tmp_path / "other")
    mine, other = map(LanguageModel.from_pretrained, models)
    rows, measure = [Example("0", "what", "this")], example_loss.completion_losses
    (tmp_path / "runs").mkdir()

    def be_late(*given, **options):
        monkeypatch.setattr(example_loss, "completion_losses", measure)
        remember_model(tmp_path / "runs", "the other", other, rows, "float32")
        return measure(*given, **options)

    monkeypatch.setattr(example_loss, "completion_losses", be_late)
    with pytest.raises(SupervisionError, match=r"holds runs of another model \(the other"):
        remember_model(tmp_path / "runs", "mine", mine, rows, "float32")
    assert json.loads((tmp_path / "runs" / "model.json").read_text())["model"] == "the other"


def test_a_model_that_has_moved(place, tmp_path):
    shutil.copytree(place / "runs", tmp_path / "runs")
    shutil.copytree(place / "lm", tmp_path / "moved")
    facts = json.loads((tmp_path / "runs" / "model.json").read_text())
    facts["model"] = str(tmp_path / "was-here")
    del facts["digest"]  # of what was recorded
    (tmp_path / "runs" / "model.json").write_text(json.dumps(facts))
    options = {"runs": tmp_path / "runs", "scorer": "rds"}
    with pytest.raises(MissingInputError, match=r"was-here.*say where it is now: model=\.\.\. "):
        _lds(place, **options)
    assert _lds(place, **options, model=tmp_path / "moved").mean == _lds(place, scorer="rds").mean
    (tmp_path / "runs" / "model.json").write_text("{")
    with pytest.raises(SupervisionError, match=r"model\.json: damaged"):
        _lds(place, **options)
    (tmp_path / "runs" / "model.json").unlink()
    with pytest.raises(ArgumentError, match="does not say which model was fine-tuned"):
        _lds(place, **options)


def _with(value):
    scores = np.zeros((9, 40))
    scores[2, 5] = value
    return scores


OWN_SCORES = {
    "transposed": (np.zeros((40, 9)), EmbeddingError, r"9 evaluation rows × 40 pool rows, found "
                   r"shape \(40, 9\)\. Transpose them"),
    "too many rows": (np.zeros((9, 41)), EmbeddingError, r"found shape \(9, 41\)\.$"),
    "flat": (np.zeros(360), EmbeddingError, r"found shape \(360,\)"),
    "NaN": (_with(np.nan), EmbeddingError, r"evaluation row 2 and pool row 5 .* is nan"),
    "infinite": (_with(-np.inf), EmbeddingError, r"evaluation row 2 and pool row 5 .* is -inf"),
    "words": (np.array([["a"]]), FileFormatError, "expected one array of numbers"),
    "pickled": (np.array([[{}]], dtype=object), FileFormatError, r"not a \.npy file of numbers"),
    "constant": (np.zeros((9, 40)), ArgumentError, "none of 9 targets has a rank correlation"),
}  # fmt: skip


@pytest.mark.parametrize("case", OWN_SCORES)
def test_own_scores_that_are_refused(here, tmp_path, capsys, case):
    scores, kind, message = OWN_SCORES[case]
    file = tmp_path / "own.npy"
    np.save(file, scores, allow_pickle=True)
    with pytest.raises(kind, match=message):
        _lds(here, scores=file)
    command = ["lds", "--runs", "runs", "--pool", "pool.jsonl", "--evaluation", "heldout.jsonl"]
    assert cli.main([*command, "--scores", str(file)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_files_that_hold_no_scores(place, tmp_path):
    with pytest.raises(MissingInputError, match=r"scores: no file .*nope\.npy"):
        _lds(place, scores=tmp_path / "nope.npy")
    (tmp_path / "empty.npy").touch()
    np.savez(tmp_path / "several.npz", a=np.zeros(3))
    for name in ("empty.npy", "several.npz"):
        with pytest.raises(FileFormatError, match=name):
            _lds(place, scores=tmp_path / name)


def test_arguments_that_do_not_go_together(place, tmp_path):
    with pytest.raises(ArgumentError, match="scores and scorer 'tfidf' are both given; leave out"):
        _lds(place, scorer="tfidf", scores=np.zeros((9, 40)))
    with pytest.raises(ArgumentError, match="pooling 'max' is unknown; choose from attention, sum"):
        _lds(place, scorer="tfidf", pooling="max")
    with pytest.raises(ArgumentError, match="scorer 'nope' is unknown"):
        _lds(place, scorer="nope")
    with pytest.raises(SupervisionError, match=r"no plan of subsets here"):
        _lds(place, runs=tmp_path, scorer="tfidf")


def test_a_scorer_of_the_users_own_has_to_score_every_row(place):
    class Short:
        name = "short"

        def score(self, targets, pool):
            from selection import DenseScores

            return DenseScores(np.eye(len(targets), len(pool) + 1))

    with pytest.raises(EmbeddingError, match="short: expected scores of 9 evaluation rows × 40"):
        _lds(place, scorer=Short())


# --- the files of AirRep's authors ---


@pytest.mark.parametrize("scorer", ["tfidf", "airrep", "rds"])
def test_exported_runs_have_the_lds_of_the_runs(here, tmp_path, capsys, scorer):
    output = tmp_path / "published"
    command = ["export", "--runs", "runs", "--pool", "pool.jsonl", "--evaluation", "heldout.jsonl"]
    assert cli.main([*command, "--output", str(output)]) == 0
    assert capsys.readouterr().out == (
        "wrote 6 subsets of 40 pool rows, measured on 9 evaluation rows, to "
        f"{output} in AirRep's test layout\n"
    )
    model = _model(here) if scorer == "rds" else None
    again = curate.lds(benchmark=output, scorer=scorer, model=model, draws=20)
    first = _lds(here, scorer=scorer, draws=20)
    assert (again.mean, again.low, again.high) == (first.mean, first.low, first.high)
    line = json.loads((output / "lds.jsonl").read_text().splitlines()[2])
    losses = SubsetLosses.load(here / "runs")
    assert line["train_subset"] == losses.plan.subsets[2].tolist()
    np.testing.assert_array_equal(line["test_loss"], losses.values[2].mean(axis=0))
    assert cli.main([*command, "--output", str(output)]) == 1
    assert "train.jsonl: already there. Choose another directory" in capsys.readouterr().err
    assert cli.main([*command, "--output", str(output), "--overwrite"]) == 0


def test_runs_in_the_training_layout(here, tmp_path):
    made = curate.export("runs", "pool.jsonl", "heldout.jsonl", tmp_path / "out", layout="training")
    assert (made.subsets, made.pool, made.evaluation) == (6, 40, 9)
    rows = (tmp_path / "out" / "rows.jsonl").read_text("utf-8").splitlines()
    texts = [(each.prompt, each.completion) for each in _examples([*POOL, *HELD_OUT])]
    assert [(r["prompt"], r["response"]) for r in map(json.loads, rows)] == texts
    losses = SubsetLosses.load(here / "runs")
    for number, line in enumerate((tmp_path / "out" / "index.jsonl").read_text().splitlines()):
        pair = json.loads(line)
        assert pair["dev"] == list(range(40, 49))
        assert pair["select"] == losses.plan.subsets[number].tolist()
        file = tmp_path / "out" / "losses" / f"loss-{pair['id']}.json"
        measured = json.loads(file.read_text())
        assert (measured["pair_id"], measured["dev_id"]) == (pair["id"], pair["dev_id"])
        np.testing.assert_array_equal(measured["losses"], losses.values[number].mean(axis=0))
        assert measured["mean_loss"] == pytest.approx(losses.values[number].mean())


def test_what_export_refuses(here, tmp_path):
    files = {"pool": "pool.jsonl", "evaluation": "heldout.jsonl"}
    with pytest.raises(ArgumentError, match="layout 'both' is unknown; choose test or training"):
        curate.export("runs", **files, output=tmp_path, layout="both")
    with pytest.raises(SupervisionError, match="the plan was drawn for 40 pool rows, found 9"):
        curate.export("runs", "heldout.jsonl", "heldout.jsonl", tmp_path / "out")
    with pytest.raises(ArgumentError, match=r"runs: .* lies inside the output directory"):
        curate.export("runs", **files, output=here)
    assert not (tmp_path / "out").exists()
