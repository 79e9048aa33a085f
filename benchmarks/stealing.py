"""Processor seconds an adaptive query of Knockoff, over the pool's size, against the Adversarial Robustness Toolbox in the same run.

    python benchmarks/stealing.py [--queries 40] [--rounds 3] [--out benchmarks/results/stealing-cpu.json]

One victim and one replica, tiny, so that what is measured is the thief's own work, on pools of random 3 × 32 × 32 images. ART copies the
images of a class at each query, so its cost grows with the pool; it is also given the setting in which each answer is waited for alone,
which ours has as `at_once: 1`. Every query of ours is written to the disk before and after it is asked; ART's are not kept.
"""

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn

from robnas.attacks.stealing import Knockoff, Oracle, Pool
from robnas.attacks.stealing.ledger import Ledger
from robnas.data.base import Images
from robnas.provenance import versions

POOLS = (1_000, 10_000, 50_000)
CLASSES = 10


def net(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 8, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, CLASSES))


def ours(x: Tensor, y: Tensor, queries: int, at_once: int) -> float:
    """Processor seconds a query."""
    thief = Knockoff(victim="v", strategy="adaptive", rewards="all", at_once=at_once, budget=queries)
    with tempfile.TemporaryDirectory() as folder:
        begin = time.process_time()
        thief.ask(Oracle(net(0)), Pool(Images(x, y), torch.arange(len(y)), 0), net(1), CLASSES, Ledger(Path(folder), "benchmark"))
        return (time.process_time() - begin) / queries


def art(x: np.ndarray, y: np.ndarray, queries: int) -> float:
    """Processor seconds a query, less the training at the end, which is none of one epoch on few images."""
    from art.attacks.extraction import KnockoffNets
    from art.estimators.classification import PyTorchClassifier

    def wrapped(model: nn.Module) -> PyTorchClassifier:
        sgd = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
        return PyTorchClassifier(model, nn.CrossEntropyLoss(), (3, 32, 32), CLASSES, optimizer=sgd, clip_values=(0, 1), device_type="cpu")

    numbers = {"batch_size_fit": queries, "batch_size_query": 64, "nb_epochs": 1, "nb_stolen": queries}
    thief = KnockoffNets(wrapped(net(0)), sampling_strategy="adaptive", reward="all", verbose=False, **numbers)
    begin = time.process_time()
    thief.extract(x, y, thieved_classifier=wrapped(net(1)))
    return (time.process_time() - begin) / queries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "stealing-cpu.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = {}
    print(f"{'pool':>8}{'ours, 16':>12}{'ours, 1':>12}{'ART':>12}{'ART / 16':>10}{'ART / 1':>10}   milliseconds a query, median")
    for n in POOLS:
        x = torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        y = torch.arange(n) % CLASSES
        floats, labels = (x / 255).numpy(), y.numpy()
        seen: dict[str, list[float]] = {"ours, at_once 16": [], "ours, at_once 1": [], "art": []}
        for round in range(options.rounds + 1):
            once = {"ours, at_once 16": ours(x, y, options.queries, 16), "ours, at_once 1": ours(x, y, options.queries, 1)}
            once["art"] = art(floats, labels, options.queries)
            if round:  # the first one warms up
                for name, seconds in once.items():
                    seen[name].append(seconds)
        ms = {name: 1e3 * median(seconds) for name, seconds in seen.items()}
        ratios = {
            name: median(b / a for a, b in zip(seen[name], seen["art"], strict=True)) for name in ("ours, at_once 16", "ours, at_once 1")
        }
        lines[str(n)] = {"milliseconds_a_query": ms, "art_over_ours": ratios}
        print(f"{n:>8,}{''.join(f'{v:12.3f}' for v in ms.values())}{''.join(f'{v:10.1f}' for v in ratios.values())}", flush=True)
    about = {"machine": platform.machine(), "threads": 1, "queries": options.queries, "rounds": options.rounds, "versions": versions()}
    options.out.write_text(json.dumps({**about, "pools": lines}, indent=1) + "\n")


if __name__ == "__main__":
    main()
