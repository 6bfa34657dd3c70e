"""Shares of tokens, against explicit gradients, and what `explain` says of them."""

import json

import numpy as np
import pytest
import torch

import curate
from airrep.errors import ArgumentError
from airrep.gradients.moments import adam_metric, second_moments
from airrep.gradients.random_projections import projected_layers
from airrep.records import Example
from curate import cli
from curate.demo_data import demo_pool, demo_targets
from curate.report import TokenExplanation, TokenShare
from curate.stages.token_influence import token_shares
from selection.scorers import NudgeScorer

ROWS = [
    Example("0", "Where do whales live?", "Whales live in the sea."),
    Example("1", "What is 17 + 25?", "42 – “naïve” 鯨."),
    Example("2", "", "The quick brown fox jumps over the lazy dog."),
]
TARGET = Example("0", "Do dolphins swim?", "Yes, they swim in the sea.")


def _expected(model, row):
    """The shares from one backward pass per token, on the row alone and unpadded."""
    layers = [layer.name for layer in projected_layers(model.network)]
    weights = [model.network.get_parameter(f"{name}.weight") for name in layers]
    moments = second_moments(model, ROWS, batch_size=20, draws=1, dtype="float32")
    conv = model.network.config.model_type == "gpt2"  # its weights lie the other way round
    metric = [adam_metric(m.T if conv else m).double().square() for m in moments.values()]

    def gradients(example):
        (tokens,) = model.tokenize([example])
        ids = torch.tensor([tokens.ids])
        log_p = model.network(ids).logits[0, :-1].log_softmax(-1)
        losses = -log_p.gather(1, ids[0, 1:, None])[tokens.start - 1 :, 0]
        found = [torch.autograd.grad(loss, weights, retain_graph=True) for loss in losses]
        return torch.stack([torch.cat([g.flatten() for g in each]) for each in found])

    step = gradients(TARGET).mean(dim=0) * torch.cat([m.flatten() for m in metric])
    step = step / step.square().mean().sqrt()
    of_tokens = gradients(row)
    return (of_tokens @ step).numpy() * NudgeScorer.learning_rate / len(of_tokens)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("row", ROWS, ids=["plain", "split characters", "text"])
def test_shares_are_the_exact_products_and_add_up_to_the_rows(make_lm, kind, row):
    model = make_lm(kind)
    expected = _expected(model, row)
    shares = token_shares(model, row, TARGET, ROWS)
    said = "".join(each.text for each in shares)
    whole = f"{row.completion}<eos>"
    assert said == whole if row.prompt else whole.endswith(said)  # a text's first has no loss
    whole = np.array([each.share for each in shares]).sum()
    tolerance = 1e-6 * np.abs(expected).max()
    assert whole == pytest.approx(expected.sum(), abs=tolerance)
    if len(shares) == len(expected):
        np.testing.assert_allclose([each.share for each in shares], expected, atol=tolerance)
    else:
        assert row is ROWS[1], "only characters of several tokens join them"
    scorer = NudgeScorer(model, difference="jvp", batch_size=20, draws=1)
    score = scorer.score([TARGET], ROWS).values()[0, ROWS.index(row)]
    assert whole * len(expected) == pytest.approx(score, rel=1e-5)


def test_a_positive_share_says_that_the_tokens_loss_falls_after_a_step_on_the_target(make_lm):
    model = make_lm("gpt2")
    shares = token_shares(model, TARGET, TARGET, ROWS)
    assert sum(each.share for each in shares) > 0, "a row helps itself"


def test_the_weights_are_the_same_bits_afterwards(make_lm):
    model = make_lm(dtype=torch.float32)
    before = {name: each.clone() for name, each in model.network.named_parameters()}
    usual = model.network.config._attn_implementation
    token_shares(model, ROWS[0], TARGET, ROWS)
    assert all(torch.equal(each, before[n]) for n, each in model.network.named_parameters())
    assert model.network.config._attn_implementation == usual


# --- what is said ---


def test_the_text_marks_the_tokens_that_speak_most_for_and_against():
    tokens = [("The", 0.5), (" sky", -0.25), ("\nis\x1b", 0.0), (" blue", 2.0), ("<eos>", -1e-9)]
    said = TokenExplanation(
        "7", "t1", 2.25, tuple(TokenShare(*each) for each in tokens), "What?", "Sky? → Blue.", "m"
    )
    lines = str(said).splitlines()
    assert lines[0] == (
        "row 7 and target t1: influence 2.25 nats over 5 tokens, by m; training on the row lowers "
        "its loss"
    )
    assert "  completion [+The] [-sky] is\x1b [+blue][-<eos>]" in lines
    most, least = (i for i, line in enumerate(lines) if line.startswith("tokens that"))
    assert lines[most + 1 : least - 1] == [
        '       2.00  " blue", the token 4 of 5', '      0.500  "The", the token 1 of 5',
    ]  # fmt: skip
    assert lines[least + 1].startswith('     −0.250  " sky", the token 2 of 5')
    assert '"<eos>"' in lines[least + 2]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    pool = demo_pool(40)
    pool += [pool[0], {"prompt": "Say \x1b[31mred", "completion": "It is \x1b[31mred \x9b."}]
    for name, rows in (("pool", pool), ("targets", demo_targets("email_reply", 3))):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    chosen = curate.select(
        folder / "pool.jsonl", folder / "targets.jsonl", 5, scorer="tfidf", output=folder / "out"
    )
    return chosen, folder


@pytest.fixture
def said(saved, tiny_lm, capsys):
    """Run `curate explain` with tokens; its output, or its complaint if it failed."""

    def run(*words, model=tiny_lm, status=0):
        command = ["explain", str(saved[1] / "out"), *map(str, words)]
        command += [] if model is None else ["--model", str(model)]
        assert cli.main(command) == status
        found = capsys.readouterr()
        return found.err if status else found.out

    return run


def test_the_command_line_says_what_the_library_says(saved, said, tiny_lm):
    chosen, _ = saved
    row, earned = chosen.selection.ids[0], chosen[0]["curate_target"]
    found = chosen.explain(row, tokens=True, model=tiny_lm)
    assert (found.id, found.target) == (row, earned)
    assert said(row, "--tokens") == f"{found}\n"
    other = next(each.id for each in chosen.targets if each.id != earned)
    assert f"row {row} and target {other}: " in said(row, "--tokens", "--for", other)
    as_json = json.loads(said(row, "--tokens", "--json"))
    assert sum(each["share"] for each in as_json["tokens"]) == pytest.approx(as_json["influence"])
    whole = "".join(each["text"] for each in as_json["tokens"])
    assert whole == chosen[0]["completion"] + "<eos>"


def test_a_row_that_is_not_in_is_looked_at_for_the_target_it_helps_most(saved, said, tiny_lm):
    chosen, _ = saved
    rows = [i for i in range(40) if str(i) not in chosen.selection.ids]
    row = next(i for i in rows if chosen.explain(i).status == "left out")
    found = chosen.explain(row, tokens=True, model=tiny_lm)
    assert found.target == chosen.explain(row).earned_by.id
    assert said(row, "--tokens") == f"{found}\n"


def test_control_characters_do_not_reach_the_terminal(said):
    shown = said(41, "--tokens")
    assert not set(shown) & {"\x1b", "\x9b"}
    assert "\\x1b" in shown


def test_what_cannot_be_explained_gets_one_line(said):
    for words, options, message in (
        (["40", "--tokens"], {}, "row 40 was removed from the pool before anything was scored"),
        (["99", "--tokens"], {}, "no pool row has the id '99'"),
        (["0", "--tokens", "--for", "9"], {}, "no target has the id '9'"),
        (["0", "--tokens"], {"model": None}, "name it: model=... (--model ...)"),
        (["0", "--tokens", "--target"], {}, "name the target by for_target (--for)"),
        (["0", "--for", "1"], {}, "ask for it by tokens=True (--tokens)"),
        (["0", "--tokens"], {"model": "/no/such"}, "checkpoint '/no/such' is not a directory"),
    ):
        complaint = said(*words, status=1, **options)
        assert message in complaint
        assert len(complaint.splitlines()) == 1


def test_a_model_alone_asks_for_nothing(saved, said):
    """It may come from the environment, CURATE_MODEL."""
    assert said("0") == f"{saved[0].explain(0)}\n"


def test_inputs_that_moved_or_changed_are_said_to_have(saved, said, tiny_lm):
    chosen, folder = saved
    row = chosen.selection.ids[0]
    whole = said(row, "--tokens")
    targets = folder / "targets.jsonl"
    content = targets.read_text()
    targets.write_text(content.replace("e", "E", 1))
    assert "targets.jsonl is no longer what the selection was made from" in said(
        row, "--tokens", status=1
    )
    targets.unlink()
    assert said(row, "--tokens") == whole, "short targets are kept whole"
    (folder / "pool.jsonl").rename(folder / "elsewhere.jsonl")
    left = chosen.insight.texts.keys() - set(chosen.selection.indices.tolist())
    kept = chosen.insight.ids[min(left)]
    assert f"row {kept} and target" in said(kept, "--tokens")
    gone = next(i for i in range(len(chosen.insight.ids)) if i not in chosen.insight.texts)
    message = f"pool row {chosen.insight.ids[gone]}: its text is not kept, and pool.jsonl"
    assert message in said(chosen.insight.ids[gone], "--tokens", status=1)
    targets.write_text(content)
    (folder / "elsewhere.jsonl").rename(folder / "pool.jsonl")


def test_long_texts_that_are_only_kept_in_part_are_not_explained(tiny_lm, tmp_path):
    targets = [{"prompt": "Write.", "completion": "word " * 400}]
    curate.select(demo_pool(20), targets, 2, scorer="tfidf", output=tmp_path)
    loaded = curate.TrainingSet.load(tmp_path)
    row = loaded.selection.ids[0]
    with pytest.raises(ArgumentError, match="target 0: only the beginning of its text is kept"):
        loaded.explain(row, tokens=True, model=tiny_lm)


def test_prompts_and_comparisons_are_refused(tiny_lm):
    prompt = demo_targets("email_reply", 1)[0]["prompt"]
    preference = {"prompt": prompt, "chosen": "Red.", "rejected": "Up."}
    for targets, message in (
        ([{"prompt": prompt}], "target 0 has no completion"),
        ([preference], "target 0 compares answers"),
    ):
        chosen = curate.select(demo_pool(20), targets, 2, scorer="tfidf")
        with pytest.raises(ArgumentError, match=message):
            chosen.explain(chosen.selection.ids[0], tokens=True, model=tiny_lm)
