"""Gradient variance against a plain loop over inputs, in one run: processor seconds, agreement, and peak memory as inputs grow.

    python benchmarks/probes.py [--rounds 5] [--inputs 128] [--out benchmarks/results/probes-cpu.json]

The loop is what anybody would write: a backward pass for each input, Welford's update of the mean in place. Both see the same weights.
Memory is that of a process of its own for each number of inputs, the inputs made before included.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robnas.copies import evaluation_copy
from robnas.models.build import build, describe
from robnas.probes.gradient_variance import gradient_variance
from robnas.provenance import versions

MODELS = ("darts", "enas", "resnet")
SHAPE = (3, 16, 16)
MEMORY = (128, 1024)


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return evaluation_copy(build(describe(name), num_classes=10, image_shape=SHAPE, size="tiny"))


def inputs(n: int) -> tuple[Tensor, Tensor]:
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(0)), torch.arange(n) % 10


def loop(model: nn.Module, x: Tensor, y: Tensor) -> float:
    model.requires_grad_(True)
    weights = list(model.parameters())
    mean, spread = torch.zeros(sum(p.numel() for p in weights)), 0.0
    for i in range(len(x)):
        loss = cross_entropy(model(x[i : i + 1]), y[i : i + 1])
        g = torch.cat([p.flatten() for p in torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)])
        delta = g - mean
        mean += delta / (i + 1)
        spread += float(delta @ (g - mean))
    model.requires_grad_(False)
    return spread / (len(x) - 1)


def ours(model: nn.Module, x: Tensor, y: Tensor) -> float:
    return gradient_variance(model, x, y).variance


def compare(name: str, n: int, rounds: int) -> dict[str, float]:
    model, (x, y) = network(name), inputs(n)
    seconds: dict[str, list[float]] = {"loop": [], "ours": []}
    found = {}
    for round in range(rounds + 1):
        for kind, run in (("loop", loop), ("ours", ours)):
            begin = time.process_time()
            found[kind] = run(model, x, y)
            if round:  # the first one warms up
                seconds[kind].append(time.process_time() - begin)
    ratio = median(a / b for a, b in zip(seconds["loop"], seconds["ours"], strict=True))
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "loop_ms_an_input": 1e3 * median(seconds["loop"]) / n,
        "ours_ms_an_input": 1e3 * median(seconds["ours"]) / n,
        "loop_over_ours": ratio,
        "relative_difference": abs(found["ours"] / found["loop"] - 1),
    }


def peak(n: int) -> float:
    """MiB above what the process had before the measurement of `n` inputs."""
    words = [sys.executable, __file__, "--peak", str(n)]
    return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def measure_peak(n: int) -> None:
    model, (x, y) = network(MODELS[0]), inputs(n)
    ours(model, x[:64], y[:64])  # what libraries set up once
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ours(model, x, y)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--inputs", type=int, default=128)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "probes-cpu.json")
    parser.add_argument("--peak", type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.peak:
        measure_peak(options.peak)
        return
    found = {}
    print(f"{'network':10}{'loop, ms':>10}{'ours, ms':>10}{'ratio':>8}{'differs by':>12}   an input, median of {options.rounds}")
    for name in MODELS:
        one = found[name] = compare(name, options.inputs, options.rounds)
        numbers = f"{one['loop_ms_an_input']:10.2f}{one['ours_ms_an_input']:10.2f}{one['loop_over_ours']:8.2f}"
        print(f"{name:10}{numbers}{one['relative_difference']:12.1e}", flush=True)
    memory = {str(n): peak(n) for n in MEMORY}
    print("more memory than a first chunk took, MiB: " + ", ".join(f"{mib:.1f} at {n} inputs" for n, mib in memory.items()))
    about = {"machine": platform.machine(), "threads": 1, "inputs": options.inputs, "rounds": options.rounds, "versions": versions()}
    kept = json.loads(options.out.read_text()) if options.out.is_file() else {}
    options.out.write_text(json.dumps({**kept, "gradient_variance": {**about, "networks": found, "peak_mib": memory}}, indent=1) + "\n")


if __name__ == "__main__":
    main()
