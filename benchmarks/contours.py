"""A loss contour (Eq. 12) against the plain loop: CPU time of one thread, as ratios in interleaved rounds of one process.

    python benchmarks/contours.py [--rounds 3] [--inputs 256] [--points 5] [--out benchmarks/results/contours-cpu.json]

The plain loop is the one everybody writes: at each point the weights are set to θ* + α d₁ + β d₂ and the mean loss is taken over batches of
128, in evaluation mode and without gradients, on a model in torch's own memory layout. robnas's time includes preparing its copy (BatchNorm
folded, channels_last), which is done once for all points (a probe has 441 of them by default and 512 inputs; so the ratio is also given
without it), and is given with the 200 bootstraps that intervals are made of and without. The two agree within rounding.
"""

import argparse
import json
import platform
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from robnas.models.build import describe, of_architecture
from robnas.probes import surface
from robnas.probes.directions import of_weights
from robnas.probes.scan import prepared, scan

MODELS = {
    "darts": ("tiny", 16),
    "nasnet": ("tiny", 16),
    "resnet": ("tiny", 16),
    "darts, full size": ("paper", 32),
    "resnet, full size": ("paper", 32),
}
BATCH = 128


def model_of(name: str, size: str, side: int) -> nn.Module:
    """Untrained, its running statistics of some noise: time does not depend on weights."""
    torch.manual_seed(0)
    described = {"description": describe(name), "size": size, "options": {}, "num_classes": 10, "image_shape": (3, side, side)}
    model = of_architecture({**described, "mean": [0.5] * 3, "std": [0.3] * 3}).to(memory_format=torch.contiguous_format).train()
    with torch.no_grad():
        model(torch.rand(32, 3, side, side))
    return model.eval()


@torch.no_grad()
def loop(model: nn.Module, x: Tensor, y: Tensor, grid: np.ndarray, along: dict[str, tuple[Tensor, Tensor]]) -> np.ndarray:
    start = {name: p.clone() for name, p in model.named_parameters()}
    found = np.empty((len(grid), len(grid)))
    for i, a in enumerate(grid):
        for j, b in enumerate(grid):
            for name, p in model.named_parameters():
                if name in along:
                    p.copy_(start[name] + float(a) * along[name][0] + float(b) * along[name][1])
            losses = [cross_entropy(model(xs), ys, reduction="sum") for xs, ys in zip(x.split(BATCH), y.split(BATCH), strict=True)]
            found[i, j] = sum(map(float, losses)) / len(x)
    for name, p in model.named_parameters():
        p.copy_(start[name])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--inputs", type=int, default=256)
    parser.add_argument("--points", type=int, default=5)
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "contours-cpu.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    report = {"machine": platform.machine(), "torch": torch.__version__, "rounds": options.rounds, "points": options.points**2, "lines": {}}
    print(f"{'':20}{'CPU s':>8}{'loop':>8}{'ratio':>8}{'worst':>8}{'with intervals':>16}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    for name in options.models:
        size, side = MODELS[name]
        n = options.inputs if size == "tiny" else 32
        model, grid = model_of(name.split(",")[0], size, side), surface.steps(0.25, options.points)
        x, y = torch.rand(n, 3, side, side), torch.randint(0, 10, (n,))
        along = of_weights(dict(model.named_parameters()), 0)
        runs = {
            "loop": lambda m=model, x=x, y=y, g=grid, d=along: loop(m, x, y, g, d),
            "robnas": lambda m=model, x=x, y=y, g=grid, d=along: scan(m, x, y, g, d, batch_size=BATCH)[0],
            "preparing": lambda m=model, x=x, d=along: prepared(m, x[:4], d),
            "with intervals": lambda m=model, x=x, y=y, g=grid, d=along: scan(m, x, y, g, d, batch_size=BATCH, resamples=200)[0],
        }
        found = {k: run() for k, run in runs.items()}  # the first call of each is not timed
        times: dict[str, list[float]] = {k: [] for k in runs}
        for _ in range(options.rounds):
            for k, run in runs.items():
                begin = time.process_time()
                run()
                times[k].append(time.process_time() - begin)
        ratios = {k: [a / b for a, b in zip(times["loop"], times[k], strict=True)] for k in runs}
        line = {
            "inputs": n,
            "seconds": round(median(times["robnas"]), 3),
            "seconds_loop": round(median(times["loop"]), 3),
            "seconds_preparing": round(median(times["preparing"]), 3),
            "ratio": round(median(ratios["robnas"]), 2),
            "ratio_after_preparing": round(
                median(a / (b - c) for a, b, c in zip(times["loop"], times["robnas"], times["preparing"], strict=True)), 2
            ),
            "worst_ratio": round(min(ratios["robnas"]), 2),
            "ratio_with_intervals": round(median(ratios["with intervals"]), 2),
            "largest_relative_difference": float(np.abs(found["robnas"] / found["loop"] - 1).max()),
        }
        report["lines"][name] = line
        options.out.write_text(json.dumps(report, indent=2) + "\n")
        print(
            f"{name:20}{line['seconds']:8.2f}{line['seconds_loop']:8.2f}{line['ratio']:8.2f}{line['worst_ratio']:8.2f}"
            f"{line['ratio_with_intervals']:16.2f}"
        )


if __name__ == "__main__":
    main()
