"""Branch coverage after `make coverage`: the total, and every file below 85%, the lowest first."""

from __future__ import annotations

import json
import sys
from pathlib import Path

LEAST = 85.0  # per cent, of lines and branches


def main() -> None:
    report = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    files = {name: each["summary"]["percent_covered"] for name, each in report["files"].items()}
    low = sorted((share, name) for name, share in files.items() if share < LEAST)
    print(f"branch coverage: {report['totals']['percent_covered']:.1f}% of {len(files)} files")
    print(f"below {LEAST:.0f}%: {len(low) or 'none'}")
    for share, name in low:
        print(f"  {share:5.1f}%  {name}")


if __name__ == "__main__":
    main()
