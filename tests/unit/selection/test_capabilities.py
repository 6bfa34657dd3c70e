"""Tests that scorers and selectors declare their capabilities and are registered once."""

from dataclasses import fields
from importlib import import_module
from typing import get_args

import numpy as np
import pytest

from airrep.errors import ArgumentError
from curate.stages.choosing import Candidates
from selection.capabilities import ScorerCapabilities, SelectorCapabilities
from selection.constraints import BoundConstraints, Constraints
from selection.scorers.registry import SCORERS, ScorerName
from selection.scores import DenseScores
from selection.selectors import SELECTORS, SelectorName, make_selector
from selection.selectors.base import RowByRow


def test_the_names_of_selectors_are_those_of_the_registry():
    assert get_args(SelectorName) == tuple(SELECTORS)


def test_the_names_of_scorers_are_those_of_the_registry():
    assert get_args(ScorerName) == tuple(SCORERS)


@pytest.mark.parametrize("name", SCORERS)
def test_the_registry_says_of_a_scorer_what_its_class_does(name):
    entry = SCORERS[name]
    module, kind = entry.made_by.split(".")
    made_by = getattr(import_module(f"selection.scorers.{module}"), kind)
    settings = [each.name for each in fields(made_by)]
    assert ScorerCapabilities.of(made_by).signed == (entry.unsigned == "")
    needed = [name for name in settings[:1] if name in ("model", "encoder")]
    assert entry.needs == (needed[0] if needed else None)
    assert set(entry.options) <= set(settings)


def test_a_scorer_by_name_takes_its_own_of_the_common_options():
    common = {"seed": 7, "progress": True}
    assert SCORERS["random"].make(common=common).seed == 7
    assert SCORERS["tfidf"].make(common=common).name == "tfidf"
    with pytest.raises(TypeError, match="nope"):
        SCORERS["tfidf"].make(nope=1)


def test_what_each_selector_declares():
    found = {name: SelectorCapabilities.of(make_selector(name)) for name in SELECTORS}
    assert all(each.keeps_constraints for each in found.values())
    assert [name for name, each in found.items() if each.needs_embeddings] == ["herding"]
    assert [name for name, each in found.items() if each.certifiable] == ["layered_greedy"]
    matrix = {name for name, each in found.items() if each.needs_matrix}
    assert matrix == {"layered_greedy", "plain_greedy", "coverage"}


def test_who_declares_nothing_gets_the_safe_defaults():
    assert SelectorCapabilities.of(object()) == SelectorCapabilities(
        needs_matrix=True, needs_embeddings=False, keeps_constraints=False, certifiable=False
    )
    assert ScorerCapabilities.of(object()) == ScorerCapabilities(
        signed=False, embeds=True, selector="layered_greedy"
    )


class Own:
    """A selector of a user's, around one of ours."""

    name, objective = "own", None

    def select(self, scores, k, *, weights=None, constraints=None):
        return make_selector("top_k_mean").select(
            scores, k, weights=weights, constraints=constraints
        )


@pytest.mark.parametrize("keeps", [False, True])
def test_a_selector_of_ones_own_is_given_constraints_if_it_declares_that_it_keeps_them(keeps):
    scores = DenseScores(np.array([[3.0, 2.0, 1.0]]))
    bound = BoundConstraints.bind(Constraints(exclude=["0"]), ["0", "1", "2"], [""] * 3)
    own = Own()
    own.keeps_constraints = keeps
    if not keeps:
        with pytest.raises(
            ArgumentError, match=r"'own' keeps to no constraints.*keeps_constraints"
        ):
            Candidates.of(scores, 1, own, constraints=bound)
        return
    chosen = Candidates.of(scores, 1, own, constraints=bound).choose(own, 1, None)
    assert chosen.indices.tolist() == [1]


def test_every_selector_of_ours_shares_one_select():
    assert all(type(make_selector(name)).select is RowByRow.select for name in SELECTORS)
