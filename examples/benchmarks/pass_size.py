"""How fast the built-in encoder is by the tokens of a pass, and how long one short query waits.

    python examples/benchmarks/pass_size.py [--tokens 256 384 512 1024 4096] [--threads N]

On a CPU all passes of a padded length have the same shape (`airrep.language_model.batching`):
larger ones are faster a token, and one query waits for a whole one. Passes are full; sizes take
turns in every repeat, so that a busy moment of the machine strikes all of them.
"""

import time

import torch
from reporting import Report, Spread, Table, machine, parser, usable_cores

from airrep import AirRep

LENGTHS = (16, 64, 128, 256, 512)  # padded tokens of a text
FEWEST = 8192  # tokens that are timed together


def main() -> None:
    options = parser(__doc__, data=False)
    options.add_argument(
        "--tokens", type=int, nargs="+", default=[128, 256, 384, 512, 1024, 2048, 4096],
        help="of a pass, at least",
    )  # fmt: skip
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--threads", type=int, default=usable_cores())
    args = options.parse_args()
    described = machine(args.threads)
    torch.set_num_threads(args.threads)
    encoder = AirRep.default()
    batches = {
        (size, length): batch(encoder, -(-size // length), length)
        for size in args.tokens
        for length in LENGTHS
    }
    seconds: dict[tuple[int, int], list[float]] = {key: [] for key in batches}
    for repeat in range(args.repeats + 1):
        for key, given in batches.items():
            found = timed(encoder, given)
            if repeat:  # the first warms up
                seconds[key].append(found)
    rows = [
        [
            f"{size:,}",
            *(Spread([batches[size, n][0].numel() / s for s in seconds[size, n]]) for n in LENGTHS),
            Spread([1000 * s for s in seconds[size, LENGTHS[0]]]),
        ]
        for size in args.tokens
    ]
    Report(
        "pass_size",
        "Tokens of a pass",
        f"Tokens a second through the built-in encoder ({encoder.precision}), by the padded length "
        f"of the texts, and the time that one query of fewer than {LENGTHS[0]} tokens takes; "
        f"median (min–max) of {args.repeats} repeats.",
        {"repeats": args.repeats},
        described,
        [
            Table(
                "Tokens a second",
                ["tokens of a pass", *(f"texts of {n}" for n in LENGTHS), "one query, ms"],
                rows,
            )
        ],
    ).write(args.output)


def batch(
    encoder: AirRep, rows: int, length: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random tokens, one of padding in every row."""
    drawn = torch.Generator().manual_seed(length)
    ids = torch.randint(1000, len(encoder.tokenizer), (rows, length), generator=drawn)
    mask = torch.ones_like(ids)
    mask[:, -1] = 0
    return ids, mask, torch.full((rows,), length // 2)


def timed(encoder: AirRep, given: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> float:
    """Seconds of a pass, the mean of as many as have `FEWEST` tokens."""
    count = max(1, FEWEST // given[0].numel())
    began = time.perf_counter()
    with torch.inference_mode():
        for _ in range(count):
            encoder.model(*given)
    return (time.perf_counter() - began) / count


if __name__ == "__main__":
    main()
