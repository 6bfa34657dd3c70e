"""The model card: all that was done and found, in words that no name can break."""

from dataclasses import replace

import numpy as np
import pytest
import yaml

from airrep.records import Example
from airrep.supervision import SubsetLosses
from eval_harness.benchmark.attribution import AttributionReport
from eval_harness.benchmark.tables import attribution_markdown, differences_markdown
from eval_harness.encoder_training.card import model_card
from eval_harness.encoder_training.config import EncoderTrainingConfig
from eval_harness.encoder_training.learning import Learned
from eval_harness.encoder_training.rows import TrainingRows
from eval_harness.encoder_training.sections import Facts, results_markdown, shown
from eval_harness.files.settings import read_settings
from eval_harness.runs.subsets import Uniform, draw_plan

NASTY = "a|b <b>_x_</b>\n# *c* `d`"
CEILING = {"single": 0.5, "single_low": 0.4, "single_high": 0.6, "corrected": 0.66,
           "attainable": 0.81}  # fmt: skip


def _examples(name, count, source="s"):
    return [Example(str(i), f"{name} {i}", "yes", source, i) for i in range(count)]


def _losses(pool, examples, subsets, repeats, seconds):
    first, second = np.array_split(np.arange(len(examples)), 2)
    roles = {"validation": first, "test": second}
    plan = draw_plan(pool, examples, [(Uniform(4), subsets)], repeats=repeats, roles=roles)
    shape = (subsets, repeats)
    facts = {"model": "f1f2", "runner": "stacked", "precision": "bfloat16"}
    return SubsetLosses(plan, np.zeros((*shape, len(examples))), facts, np.full(shape, seconds))


def _row(name, lds, size=None):
    return {"method": name, "sum": lds, "sum_low": lds - 0.1, "sum_high": lds + 0.1,
            "attention": lds, "attention_low": lds - 0.1, "attention_high": lds + 0.1, "scale": 5.0,
            "validation": lds, "seconds_per_row": 0.002, "bytes_per_row": size}  # fmt: skip


def _gap(name, mean, half):
    return {"method": name, "difference": mean, "difference_low": mean - half,
            "difference_high": mean + half}  # fmt: skip


def _facts(source="s", name="tfidf", ceiling=CEILING, seconds=50.0, **changes):
    values = {"model": "owner/lm", "pool": "/home/me/rows.jsonl", "targets": "/home/me/t.jsonl",
              **changes}  # fmt: skip
    config = read_settings(EncoderTrainingConfig, values)
    rows = TrainingRows(
        _examples("p", 30, source), _examples("t", 9, source), _examples("h", 10),
        _examples("v", 5), _examples("e", 6, "new"),
    )  # fmt: skip
    methods = [_row("trained", 0.4, 1536), _row(name, 0.2), _row("rds", 0.3), _row("gradient", 0.6)]
    gaps = [_gap(name, -0.2, 0.1), _gap("rds", -0.1, 0.2), _gap("gradient", 0.2, 0.1)]
    tables = f"{attribution_markdown(methods, ceiling)}\n\n{differences_markdown(gaps, 'trained')}"
    history = [{"step": 0, "loss": None, "lds": 0.25}, {"step": 25, "loss": 1.5, "lds": 0.375}]
    return Facts(
        config, rows,
        [_losses(rows.pool[:15], rows.targets[:4], 6, 1, 2.5),
         _losses(rows.pool[15:], rows.targets[4:], 6, 1, 1.5)],
        _losses(rows.held_out, [*rows.validation, *rows.test], 5, 2, 3.0),
        Learned(history, 25, 39, seconds, 7.0, "float16"), 0.3744,
        AttributionReport(methods, "trained", gaps, ceiling, [], tables), "",
    )  # fmt: skip


def _parts(card):
    """The front matter, and the text after it."""
    _, front, text = card.split("---\n", 2)
    return yaml.safe_load(front), text


def test_the_front_matter_is_what_the_hub_reads():
    front, _ = _parts(model_card(_facts()))
    assert front["base_model"] == "owner/lm"
    assert front["pipeline_tag"] == "sentence-similarity"
    assert "airrep" in front["tags"]
    assert "data-selection" in front["tags"]
    assert "license" not in front


def test_all_figures_are_there():
    card = model_card(_facts())
    for shown_figure in (
        "| trained | 0.400 [0.300, 0.500] |", "would reach 0.810", "| LDS − trained |",
        "better than tfidf; worse than gradient; not told apart from rds.",
        "| split 0 | 15 | 4 | 6 | uniform 6 | 4 | 6 | 2.50 |",
        "| evaluation | 10 | 11 | 5 | uniform 5 | 4 | 10 | 3.00 |",
        "| 25 | 1.5000 | 0.375 |", "Step 25 did best. Saved in float16",
        "an LDS of 0.374 on validation", "| runs to learn from, all processes together | 24 s |",
        "| runs of the evaluation | 30 s |", "| gradients of the teacher | 7 s |",
        "| training of the encoder | 50 s |", "| encoding a row | 2.00 ms |", "| 1,536 bytes |",
        "owner/lm. Every run: 2 epochs, learning rate 2e-05", "computed in bfloat16 by the stacked",
        "tokenizer and format: f1f2", "39 different texts", "the language model itself; 384",
        "* One language model, owner/lm", "* Subsets of 4 rows.", "rows of 1 source.",
        "held out of the files it learned from; 1 of their 1 source is new to it",
        "curate.select(", "encoder=", "No license is set",
    ):  # fmt: skip
        assert shown_figure in card, shown_figure


def test_the_config_is_whole_and_has_no_places():
    facts = _facts(encoder={"backbone": "default"}, separator="\n\n")
    _, text = _parts(model_card(facts))
    assert "/home/me" not in model_card(facts)
    block = text.split("```yaml\n")[1].split("```")[0]
    read = read_settings(EncoderTrainingConfig, yaml.safe_load(block))
    assert read == replace(facts.config, pool="rows.jsonl", targets="t.jsonl")


def test_the_built_in_encoders_base_and_license_are_known():
    front, text = _parts(model_card(_facts(encoder={"backbone": "default"})))
    assert front["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert front["license"] == "apache-2.0"
    assert "No license is set" not in text
    assert "Backbone: the built-in encoder" in text


@pytest.mark.parametrize(
    "readme", [None, "# no front matter", "---\n- a\n---\n", "---\n: [\n---\n"]
)
def test_a_directory_has_no_base_unless_its_card_says_so(readme, tmp_path):
    (tmp_path / "lm").mkdir()
    if readme is not None:
        (tmp_path / "lm" / "README.md").write_text(readme)
    card = model_card(_facts(model=str(tmp_path / "lm")))
    front, _ = _parts(card)
    assert "base_model" not in front
    assert "# Which training rows help lm\n" in card
    assert str(tmp_path) not in card
    (tmp_path / "lm" / "README.md").write_text("---\nbase_model: a/b\ntags: [x]\n---\n# c")
    assert _parts(model_card(_facts(model=str(tmp_path / "lm"))))[0]["base_model"] == "a/b"


def test_names_cannot_break_the_card():
    facts = _facts(source=NASTY, name=NASTY)
    for text in (model_card(facts), results_markdown(facts)):
        assert NASTY not in text
        assert "a\\|b \\<b\\>\\_x\\_\\</b\\> \\# \\*c\\* \\`d\\`" in text
        rows = [line for line in text.splitlines() if line.startswith("| a")]
        assert rows
        assert all(row.replace("\\|", "").count("|") in (3, 5, 7) for row in rows)


def test_what_is_not_known_is_said():
    card = model_card(_facts(seconds=None, ceiling=None, teacher=None))
    assert "| training of the encoder | not known: it was interrupted |" in card
    assert "What a perfect predictor would reach is not known" in card
    assert "learned from as well" not in card
    assert "(no source)" in model_card(_facts(source=""))


def test_kinds_that_were_not_learned_from_are_marked():
    text = results_markdown(_facts(use=["few_sources"], supervision={"few_sources": 3}))
    assert "uniform 6 (not used)" in text
    assert "| evaluation | 10 | 11 | 5 | uniform 5 |" in text


def test_many_sources_are_cut():
    facts = _facts()
    pool = [replace(e, source=f"s{i}") for i, e in enumerate(_examples("p", 30))]
    card = model_card(replace(facts, rows=replace(facts.rows, pool=pool)))
    assert "… and 12 more sources." in card  # of 30, "s" and "new"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("/a/b/pool.jsonl", "pool.jsonl"), ("data/pool*.jsonl", "pool*.jsonl"),
        ("owner/name", "owner/name"), ("owner/name/config:train", "owner/name/config:train"),
    ],
)  # fmt: skip
def test_names_without_places(name, expected):
    assert shown(name) == expected
