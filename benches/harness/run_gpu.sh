#!/usr/bin/env bash
# Every closed workload on a GPU, in one command: `bash benches/harness/run_gpu.sh`.
#
# Makes a virtual environment, installs PyTorch, builds hotrow, tests the harness, and runs parity and then all workloads in bf16 in
# PyTorch. Results go to benches/results/bench. `DEVICE=cpu bash benches/harness/run_gpu.sh` does the same without a GPU.
#
#   DEVICE     cuda (default), cpu
#   PYTHON     a python3 that has requirements.txt already: nothing is installed then
#   BINARY     a hotrow program that is built already
#   WORKLOADS  the workload files [benches/workloads/*.toml]
#   OUT        folder of the results [benches/results/bench]
#   PRECISION  bf16 (default), f32, or both
#   TUNED      1 runs the tuned division too: the largest batch that fits
#   ARGUMENTS  further arguments of run.py, such as "--few --seeds 1"
set -euo pipefail
cd "$(dirname "$0")/../.."

device=${DEVICE:-cuda}
out=${OUT:-benches/results/bench}
python=${PYTHON:-}
if [ -z "$python" ]; then
    python3 -m venv target/harness-venv
    python=target/harness-venv/bin/python
    "$python" -m pip install --quiet -r benches/harness/requirements.txt
fi
if [ "$device" = cuda ]; then
    "$python" -c 'import torch, sys; sys.exit(0 if torch.cuda.is_available() else "PyTorch sees no GPU; DEVICE=cpu runs without one")'
fi
binary=${BINARY:-target/release/hotrow}
if [ -z "${BINARY:-}" ]; then cargo build --release --bin hotrow; fi
HOTROW=$(realpath "$binary") "$python" -m unittest discover -q -s benches/harness
read -ra workloads <<<"${WORKLOADS:-$(echo benches/workloads/*.toml)}"
read -ra precision <<<"${PRECISION:-bf16}"
read -ra arguments <<<"${ARGUMENTS:-}"
divisions=(closed)
if [ "${TUNED:-0}" = 1 ]; then divisions+=(tuned); fi
for division in "${divisions[@]}"; do
    "$python" benches/harness/run.py "${workloads[@]}" --out "$out" --device "$device" --precision "${precision[@]}" \
        --binary "$binary" --division "$division" "${arguments[@]}"
done
