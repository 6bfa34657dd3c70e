"""The model card of a trained encoder, as the Hugging Face hub reads it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from airrep.console.wording import counted
from airrep.disk.paths import user_path
from airrep.encoder import DEFAULT_CHECKPOINT
from airrep.version import __version__
from eval_harness.encoder_training.config import BUILT_IN, PATHS, EncoderTrainingConfig
from eval_harness.encoder_training.sections import (
    Facts,
    cost_section,
    data_section,
    runs_section,
    shown,
    subset_rows,
    test_section,
    training_section,
)
from eval_harness.files.markdown import code_block, escaped
from eval_harness.files.settings import map_settings

_TAGS = ["airrep", "sentence-similarity", "data-selection", "data-attribution"]
_USE = """import curate
from airrep import AirRep

chosen = curate.select("pool.jsonl", "targets.jsonl", k=1000, encoder="THIS_DIRECTORY")

encoder = AirRep.from_pretrained("THIS_DIRECTORY")
encoder.scores(["a target"], ["a row"])  # larger: training on the row lowers the loss more
"""


def model_card(facts: Facts) -> str:
    """The whole README.md."""
    config = facts.config
    known = _known(config)
    head = {
        "library_name": "airrep-curate",
        "pipeline_tag": "sentence-similarity",
        "tags": _TAGS,
        **known,
    }
    names = map_settings(asdict(config), PATHS, _name)
    model = escaped(shown(config.model))
    parts = [
        f"---\n{_yaml(head)}---",
        f"# Which training rows help {model}",
        f"An encoder trained so that its embeddings foresee what fine-tuning {model} on a set of "
        "rows does to the loss on an example (AirRep: Sun et al. 2025, arXiv 2505.18513). Larger "
        "scores: training on the row lowers the loss more. Made by `curate train` of "
        f"airrep-curate {__version__}.",
        ""
        if "license" in known
        else "No license is set: add one to the front matter before you publish this.",
        code_block(_USE, "python"),
        "## How good",
        "LDS: for each test example the rank correlation, over random subsets of rows"
        f"{' that the encoder never saw' if config.recorded is None else ''}, of what is predicted "
        "with what fine-tuning on the subset did; then the mean over examples. 1 is every order "
        "right, 0 is chance. In brackets: 95% intervals over subsets and examples. *attention* "
        "pools a subset's scores at the scale that did best on validation. *untrained* has "
        "the same features, whitened, and learned nothing.",
        test_section(facts),
        "## Language model",
        _language_model(facts),
        "## Data",
        data_section(facts),
        "## Supervision",
        runs_section(facts),
        "## Training",
        _training(facts),
        training_section(facts),
        "## Cost",
        cost_section(facts),
        "## Limits",
        _limits(facts),
        "## Config",
        "Files are named without their places.",
        code_block(_yaml(names), "yaml"),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _language_model(facts: Facts) -> str:
    config, recipe = facts.config, facts.config.recipe
    made_by = facts.measured.provenance
    if config.recorded is not None:
        return (
            f"{escaped(shown(config.model))}, as far as its runs say: they were recorded elsewhere "
            f"({escaped(shown(config.recorded.index))}), and how is not known. Fingerprint of "
            f"weights, tokenizer and format: {made_by['model']}."
        )
    return (
        f"{escaped(shown(config.model))}. Every run: {counted(recipe.epochs, 'epoch')}, "
        f"learning rate {recipe.learning_rate:g} falling "
        f"to zero, batches of {recipe.batch_size}, weights that move: "
        f"{escaped(recipe.trainable)}, computed in {made_by['precision']} by the "
        f"{made_by['runner']} runner; rows cut after {counted(config.max_tokens, 'token')}. "
        f"Fingerprint of weights, tokenizer and format: {made_by['model']}."
    )


def _training(facts: Facts) -> str:
    config, training = facts.config, facts.config.training
    backbone = config.encoder.backbone
    named = {None: "the language model itself", BUILT_IN: "the built-in encoder"}
    start = named.get(backbone) or escaped(shown(str(backbone)))
    if config.encoder.token_pooling == "gradient":
        start += ", by its gradients in the metric of Adam's steps"
    teacher = ""
    if config.teaches is not None:
        of = f"gradients of the language model (rank {config.teaches.rank})"
        if config.teaches.encoder is not None:
            of = f"the encoder {escaped(shown(config.teaches.encoder))}"
        first = ", first of all, by regression" if training.start == "teacher" else ""
        teacher = f" The cosines of {of} were learned from as well{first}."
    return (
        f"Backbone: {start}; {counted(training.dim, 'dimension')}; trained weights: "
        f"{escaped(training.trainable)}; up to {counted(training.steps, 'step')}, stopped by the "
        f"LDS on validation; learned from {counted(facts.learned.rows, 'different text')}.{teacher}"
    )


def _limits(facts: Facts) -> str:
    rows, held = facts.rows, facts.config.evaluation
    seen = {e.source for e in (*rows.pool, *rows.targets)}
    tested = {e.source for e in rows.test}
    new = len(tested - seen)
    where = "held out of the files it learned from" if held.test is None else "of a file of its own"
    return "\n".join(
        [
            f"* One language model, {escaped(shown(facts.config.model))}, and one recipe. Nothing "
            "here says how well it foresees the training of another.",
            f"* Subsets of {subset_rows([*facts.losses, facts.measured])} rows. Much smaller or "
            "larger ones were not tried.",
            f"* It learned from rows of {counted(len(seen), 'source')}. The "
            f"test examples are {where}; {new:,} of their {counted(len(tested), 'source')} "
            f"{'is' if new == 1 else 'are'} new to it.",
            "* LDS is about random subsets. Whether its selections train better models is another "
            "question: `curate benchmark` answers it.",
        ]
    )


def _name(value: Any) -> Any:  # noqa: ANN401 (whatever a setting holds)
    return shown(value) if isinstance(value, str) and value != BUILT_IN else value


class _Dumper(yaml.SafeDumper):
    """YAML that shows a line break by its escape, not as an empty line."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style='"' if "\n" in text else None
    ),
)


def _yaml(values: dict[str, Any]) -> str:
    return str(yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def _known(config: EncoderTrainingConfig) -> dict[str, Any]:
    """`base_model` and `license`, as far as they are known."""
    backbone: str | Path = config.encoder.backbone or config.model
    place = DEFAULT_CHECKPOINT if backbone == BUILT_IN else user_path(backbone, "backbone")
    if not place.is_dir():
        return {"base_model": str(backbone)}  # a hub id
    try:
        front = (place / "README.md").read_text("utf-8").split("---\n")[1]
        values = yaml.safe_load(front)
        return {key: values[key] for key in ("base_model", "license") if key in values}
    except (OSError, IndexError, TypeError, UnicodeDecodeError, yaml.YAMLError):
        return {}  # no card beside it, or none that can be read
