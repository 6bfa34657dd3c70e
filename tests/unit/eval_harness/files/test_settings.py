"""Settings that are changed by their place. (Reading them: test_benchmark_config.py.)"""

import pytest

from eval_harness.files.settings import map_settings

VALUES = {
    "pool": "a", "encoder": {"backbone": "b", "max_tokens": 3}, "pool2": "c",
    "methods": {"one": {"encoder": "d"}, "two": {}, "three": None},
}  # fmt: skip


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (["pool"], {"pool": "A"}),
        (["encoder.backbone"], {"encoder": {"backbone": "B", "max_tokens": 3}}),
        (["methods.*.encoder"], {"methods": {"one": {"encoder": "D"}, "two": {}, "three": None}}),
        (["nowhere", "pool.deeper", "methods.two.encoder.x", "*.x"], {}),
    ],
)
def test_settings_at_their_places_are_changed_and_no_others(places, expected):
    before = repr(VALUES)
    assert map_settings(VALUES, places, str.upper) == VALUES | expected
    assert repr(VALUES) == before


def test_several_places_of_one_mapping():
    made = map_settings(VALUES, ["methods.*.encoder", "pool", "pool2"], str.upper)
    assert (made["pool"], made["pool2"], made["methods"]["one"]["encoder"]) == ("A", "C", "D")
