"""A sentence encoder that has learned nothing from runs, at its best: its features, whitened.

    python examples/t0/encoder/whitened.py out/t0/untrained/minilm_mean --token-pooling levels \
        --rows out/t0/train/pool.jsonl out/t0/train/targets.jsonl \
        --output out/t0/untrained/minilm_levels

It is what a training on those rows starts from. With `--token-pooling segments` and
`--output out/t0/untrained/minilm_segments`: what the shipped encoder's first part started from.
"""

import argparse
import json
from pathlib import Path

from airrep import normalize
from airrep.network.token_pooling import SENTENCE_POOLINGS
from airrep.training.config import TrainConfig
from airrep.training.copies import save_narrow
from airrep.training.loop import start_whitened
from airrep.training.starting_point import starting_point

SETTINGS = TrainConfig(dim=384, damping=10.0, scale=5.0)  # those of minilm.yaml


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("backbone", type=Path)
    parser.add_argument("--token-pooling", choices=SENTENCE_POOLINGS, required=True)
    parser.add_argument("--rows", type=Path, nargs="+", required=True)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    encoder = starting_point(args.backbone, token_pooling=args.token_pooling)
    lines = [line for file in args.rows for line in file.read_text("utf-8").splitlines()]
    rows = [json.loads(line) for line in lines]
    texts = [encoder.template.render(normalize(row, index=i)) for i, row in enumerate(rows)]
    start_whitened(encoder, encoder.features(texts, progress=True), SETTINGS)
    save_narrow(encoder, args.output)
    print(f"wrote {args.output}; whitened on {len(rows):,} rows")


if __name__ == "__main__":
    main()
