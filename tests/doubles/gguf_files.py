"""A language model's directory as a GGUF file, as llama.cpp's converter writes one."""

import json

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize
from safetensors.numpy import load_file

NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip
PLAIN, SPECIAL = 1, 3  # kinds of tokens


def write_gguf(directory, file, architecture="llama", kind="F32"):
    """Write the Llama in a directory to a file, with its byte-level BPE tokenizer."""
    config = json.loads((directory / "config.json").read_text())
    tokenizer = json.loads((directory / "tokenizer.json").read_text())
    writer = GGUFWriter(file, architecture)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    tokens = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    special = {each["content"] for each in tokenizer["added_tokens"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([SPECIAL if token in special else PLAIN for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    for name, weight in load_file(directory / "model.safetensors").items():
        writer.add_tensor(*_tensor(name.removesuffix(".weight"), weight, config, kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _tensor(name, weight, config, kind):
    """Name and values of a tensor, and their kind, in a GGUF file."""
    heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
    if (which := heads.get(name.rpartition(".")[2])) is not None:  # llama.cpp pairs neighbors
        weight = weight.reshape(config[which], 2, -1, weight.shape[1]).swapaxes(1, 2)
        weight = weight.reshape(-1, weight.shape[-1])
    block, _, own = name.removeprefix("model.layers.").partition(".")
    called = NAMES.get(name) or f"blk.{block}.{NAMES[own]}"
    weight = np.ascontiguousarray(weight)
    wanted = GGMLQuantizationType[kind if weight.ndim == 2 else "F32"]
    stored = weight if wanted is GGMLQuantizationType.F32 else quantize(weight, wanted)
    return f"{called}.weight", stored, None, wanted
