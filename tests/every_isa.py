"""The tests of promised bits, as CPUs of other instruction sets would run them: `make test-isa`.

oneDNN, which multiplies matrices for PyTorch on a CPU, obeys ONEDNN_MAX_CPU_ISA; so a CPU can stand
in for all that know less than it does. Each level is tested with one thread and with two.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import torch

# A level of oneDNN, and what PyTorch calls the capability that it takes.
LEVELS = {
    "AVX2": "avx2",
    "AVX512_CORE": "avx512_vl",
    "AVX512_CORE_BF16": "avx512_bf16",
    "AVX512_CORE_AMX": "amx_bf16",
}


def main() -> int:
    known = torch.cpu.get_capabilities()
    levels = [level for level, capability in LEVELS.items() if known.get(capability)]
    missing = [level for level in LEVELS if level not in levels]
    print(f"{known.get('cpu_name', 'this CPU')}: {', '.join(levels) or 'no level of x86'}")
    if missing:
        print(f"this CPU lacks, so not tested: {', '.join(missing)}")
    failed = []
    for level in levels or [""]:
        for threads in ("1", "2"):
            began = time.monotonic()
            # as many processes as leave a core to each thread
            spread = ["-n", str(max(1, known.get("num_logical_cores", 2) // int(threads)))]
            status = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-m", "isa", *spread, *sys.argv[1:]],
                env={**os.environ, "ONEDNN_MAX_CPU_ISA": level, "OMP_NUM_THREADS": threads}
                if level
                else {**os.environ, "OMP_NUM_THREADS": threads},
                check=False,
            ).returncode
            name = f"{level or 'as it is'}, {threads} thread{'s' * (threads != '1')}"
            print(f"{name}: {'failed' if status else 'passed'} in {time.monotonic() - began:.0f} s")
            failed += [name] * bool(status)
    print(f"failed: {'; '.join(failed)}" if failed else "passed on every level")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
