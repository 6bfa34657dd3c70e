"""Texts that the built-in encoder cannot read are scored by their words, if nobody asked for it."""

from __future__ import annotations

import pytest

import curate
from airrep.errors import ArgumentError
from airrep.records import normalize
from curate.stages.words_instead import words_instead

FOOD = ["แกงเขียวหวานใส่ไก่", "ข้าวผัดกุ้งอร่อยมาก", "ต้มยำใส่เห็ดสด"]
WEATHER = ["วันนี้อากาศร้อนมาก", "ฝนตกหนักทางภาคใต้", "พรุ่งนี้ท้องฟ้าแจ่มใส"]
POOL = [{"prompt": text, "completion": "ใช่"} for text in (*FOOD, *WEATHER)]
TARGETS = [{"prompt": "พยากรณ์อากาศสำหรับวันพรุ่งนี้", "completion": "ใช่"}]
QUICK = {"leakage": "off", "duplicates": "off", "progress": False}


def test_where_nobody_asked_for_an_encoder_words_are_compared():
    with pytest.warns(UserWarning, match=r"100% of the pool .* unknown to the built-in encoder"):
        chosen = curate.select(POOL, TARGETS, 2, **QUICK)
    assert chosen.manifest.chosen["scorer"] == "tfidf"
    assert set(chosen.dataset["curate_row"]) <= {3, 4, 5}  # those about the weather
    said = chosen.summary()
    assert "scored  by tfidf, because the built-in encoder cannot read the texts" in said
    assert "unknown tokens: pool 100.0%, targets 100.0%" in said


def test_an_encoder_that_was_named_is_not_replaced(encoder):
    with pytest.raises(ArgumentError, match="multilingual"):
        curate.select(POOL, TARGETS, 2, encoder=encoder, **QUICK)


def test_texts_that_can_be_read_are_encoded(encoder):
    examples = [normalize(row) for row in curate.demo_pool(5)]
    assert words_instead(encoder, examples[:1], examples) is None
