import copy

import pytest
import torch

from airrep.language_model.fingerprints import model_fingerprint
from airrep.machine.hardware import default_device, fastest_dtype


def test_the_gpu_if_there_is_one(monkeypatch):
    for there, kind in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert default_device().type == kind


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        ({"cpu_name": "AMD EPYC 9B45", "avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, torch.bfloat16),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, torch.float32),
        ({"cpu_name": "AMD EPYC 7763", "avx512_bf16": False}, torch.float32),
        ({"architecture": "aarch64", "bf16": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_bfloat16_where_a_cpu_multiplies_faster_in_it(capabilities, dtype, monkeypatch):
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert fastest_dtype(torch.device("cpu")) is dtype


@pytest.mark.parametrize(
    ("name", "most", "dtype"),
    [
        ("Intel Xeon", "AVX512_CORE_AMX", torch.bfloat16),
        ("Intel Xeon", "default", torch.bfloat16),
        ("Intel Xeon", "AVX512_CORE_BF16", torch.float32),
        ("AMD EPYC", "AVX512_CORE_BF16", torch.bfloat16),
        ("AMD EPYC", "avx512_core", torch.float32),
        ("AMD EPYC", "AVX2", torch.float32),
    ],
)
def test_what_onednn_may_not_use_the_hardware_has_not(name, most, dtype, monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", most)
    capabilities = {"cpu_name": name, "avx512_bf16": True, "amx_bf16": name == "Intel Xeon"}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert fastest_dtype(torch.device("cpu")) is dtype


@pytest.mark.parametrize(("supported", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_bfloat16_where_a_gpu_has_it(supported, dtype, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: supported)
    assert fastest_dtype(torch.device("cuda")) is dtype
    assert fastest_dtype(torch.device("meta")) is torch.float32


def test_what_changes_a_model_changes_its_fingerprint(make_lm):
    model = make_lm(dtype=torch.float32)
    first = model_fingerprint(model.network, model.tokenizer)
    assert model_fingerprint(copy.deepcopy(model.network), model.tokenizer) == first
    model.tokenizer("padding and truncation", padding="max_length", max_length=9, truncation=True)
    assert model_fingerprint(model.network, model.tokenizer) == first

    def changed(change):
        network, tokenizer = copy.deepcopy(model.network), copy.deepcopy(model.tokenizer)
        change(network, tokenizer)
        return model_fingerprint(network, tokenizer)

    found = {
        first,
        changed(lambda n, _: n.lm_head.weight.data[3, 3].add_(1e-6)),
        changed(lambda n, _: n.to(torch.float64)),
        changed(lambda n, _: setattr(n.config, "rms_norm_eps", 1e-3)),
        changed(lambda _, t: t.add_tokens(["<more>"])),
    }
    assert len(found) == 5


def test_single_numbers_among_the_weights(make_lm):
    model = make_lm()
    before = model_fingerprint(model.network, model.tokenizer)
    model.network.register_buffer("scale", torch.tensor(2.0))
    assert model_fingerprint(model.network, model.tokenizer) != before
