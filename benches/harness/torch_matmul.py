#!/usr/bin/env python3
"""PyTorch's CPU matmul in bf16 on the shape of the gemm benches: what the AMX product is held against.

    python3 benches/harness/torch_matmul.py

One thread; prints one JSON object with the median and the best GFLOP/s of the rounds. Only a machine with AMX says
anything about the target; the object names what PyTorch found.
"""

import json
import os
import time

import torch

ACTIVE, BATCH, DIM = 4096, 256, 512
ROUNDS = 200


def main():
    torch.set_num_threads(1)
    torch.manual_seed(1)
    w = torch.randn(ACTIVE, DIM).bfloat16()
    x = torch.randn(BATCH, DIM).bfloat16()
    out = torch.empty(ACTIVE, BATCH, dtype=torch.bfloat16)

    # The answer first: each product is rounded to bf16 once, by half of 2^-7 at most relative to its size, after a sum of DIM
    # terms in f32.
    torch.matmul(w, x.T, out=out)
    exact = w.double() @ x.double().T
    bound = 2**-8 * exact.abs() + DIM * 2**-23 * (w.double().abs() @ x.double().abs().T)
    assert ((out.double() - exact).abs() <= bound).all(), "PyTorch's product is not the product"

    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        torch.matmul(w, x.T, out=out)
        seconds.append(time.perf_counter() - start)
    seconds.sort()
    rate = lambda s: round(2 * ACTIVE * BATCH * DIM / s / 1e9, 1)
    print(json.dumps({
        "shape": f"a{ACTIVE}_b{BATCH}_d{DIM}",
        "unit": "GFLOP/s",
        "median": rate(seconds[ROUNDS // 2]),
        "best": rate(seconds[0]),
        "torch": torch.__version__,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "amx": "amx_bf16" in open("/proc/cpuinfo").read(),
        "load_average": os.getloadavg(),
    }))


if __name__ == "__main__":
    main()
