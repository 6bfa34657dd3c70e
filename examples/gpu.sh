#!/bin/sh
# The tests that need a GPU, then the encoder and language models on it; ten minutes. Prints what it saw.
#
#     sh examples/gpu.sh [DIRECTORY OF A LANGUAGE MODEL ...]
#
# DEVICE=cpu does the same on a CPU. Benchmarks need t0.parquet (CURATE_BENCH_DATA), and say so without.
set -eu
cd "$(dirname "$0")/.."
device=${DEVICE:-cuda}
python - "$device" <<'END'
import sys, torch
if sys.argv[1] == "cuda":
    if not torch.cuda.is_available():
        sys.exit("there is no CUDA device that torch can use")
    for number in range(torch.cuda.device_count()):
        print(torch.cuda.get_device_properties(number))
print("torch", torch.__version__)
END
case $device in cuda) marks=gpu ;; *) marks=slow ;; esac
python -m pytest -q --durations=10 -m "$marks" tests/gpu
python examples/benchmarks/encoder_throughput.py --device "$device" --rows "${ROWS:-300}" --repeats 2 --output out/gpu
if [ $# -gt 0 ]; then
    python examples/benchmarks/real_models.py --model "$@" --rows "${ROWS:-40}" --evaluated 40 --scored 20 \
        --runs plain all lora:16 --output out/gpu
fi
if [ -d out/gpu ]; then cat out/gpu/*.md; fi
