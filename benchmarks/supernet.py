"""What the fused supernet gains over one module per edge and operation, as ratios in one run.

    python benchmarks/supernet.py [--rounds 5] [--out benchmarks/results/supernet-cpu.json]

C = 16, 8 layers, batch 8, 32×32, ten operations, four nodes; one thread, float32, unless other sizes are given.

- The peer is the formulation of DARTS's code (Liu et al., 2019; tests/per_edge.py): NCHW, an architecture step is a full backward pass,
  the second order copies the model into a new one and takes its finite difference over that.
- Ours is what `robnas fit` runs: `Supernet` with `robnas.tasks.bilevel`.
- Steps are forward and backward; both optimizers' own arithmetic is left out, and the loading of data too.
- Time is CPU time of the process; peer and ours take turns within a round, and the medians over rounds are compared.
- Operations are those that reach the dispatcher in one step (views included, on both sides).
- Memory is the largest sum of live tensor bytes above what lives before the step (allocations seen by torch's profiler).
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from per_edge import PerEdge, copy_to
from robnas.space.mixture import Mixture
from robnas.space.search_space import CELL_KINDS, Space
from robnas.space.supernet import Supernet
from robnas.tasks import bilevel

RATE, MOMENTUM, DECAY = 0.025, 0.9, 3e-4
FLOORS = {"first_order_pair": 3.0, "second_order": 2.6}


class Sides:
    """Both formulations with the same weights, α and batches."""

    def __init__(self, layers: int, channels: int, batch: int, size: int) -> None:
        torch.manual_seed(0)
        space = Space()
        self.net = Supernet(space, layers=layers, init_channels=channels)
        self.peer = PerEdge(space.operations, layers=layers, c=channels)
        copy_to(self.net, self.peer)
        self.alpha = {k: (1e-3 * torch.randn(len(space.edges), len(space.operations))).requires_grad_() for k in CELL_KINDS}
        self.train, self.valid = ((torch.randn(batch, 3, size, size), torch.randint(0, 10, (batch,))) for _ in range(2))
        self.weights = list(self.net.parameters())
        self.momenta = [torch.zeros_like(w) for w in self.weights]

    def softmax(self) -> dict[str, Tensor]:
        return {kind: a.softmax(-1) for kind, a in self.alpha.items()}

    # Ours

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return cross_entropy(self.net(batch[0], Mixture(self.softmax())), batch[1])

    def our_weight_step(self) -> Any:
        return bilevel.weight_gradient(self.loss(self.train), self.weights)

    def our_architecture_step(self) -> Any:
        with self.net.frozen_statistics():
            return bilevel.first_order(lambda: self.loss(self.valid), list(self.alpha.values()), self.weights)

    def our_second_order(self) -> Any:
        inner = bilevel.Inner(self.weights, self.momenta, RATE, MOMENTUM, DECAY)
        losses = (lambda: self.loss(self.train)), (lambda: self.loss(self.valid))
        with self.net.frozen_statistics():
            return bilevel.second_order(*losses, list(self.alpha.values()), inner, bilevel.finite_difference)

    # DARTS's

    def peer_loss(self, batch: tuple[Tensor, Tensor], model: nn.Module | None = None) -> Tensor:
        return cross_entropy((model or self.peer)(batch[0], self.softmax()), batch[1])

    def peer_step(self, batch: tuple[Tensor, Tensor]) -> None:
        self.peer.zero_grad()
        for a in self.alpha.values():
            a.grad = None
        self.peer_loss(batch).backward()

    def peer_second_order(self) -> list[Tensor]:
        parameters, alpha = list(self.peer.parameters()), list(self.alpha.values())
        flat = lambda tensors: torch.cat([t.reshape(-1) for t in tensors])  # noqa: E731
        theta = flat(parameters).detach()
        gradient = flat(torch.autograd.grad(self.peer_loss(self.train), parameters)) + DECAY * theta
        moved = theta - RATE * (MOMENTUM * torch.zeros_like(theta) + gradient)
        unrolled, offset = deepcopy(self.peer), 0
        with torch.no_grad():
            for p in unrolled.parameters():
                p.copy_(moved[offset : offset + p.numel()].view_as(p))
                offset += p.numel()
        for a in alpha:
            a.grad = None
        self.peer_loss(self.valid, unrolled).backward()
        vector = [p.grad for p in unrolled.parameters()]
        radius = 0.01 / float(flat(vector).norm())
        sides = []
        for step in (radius, -2 * radius):
            self._move(vector, step)
            sides.append(torch.autograd.grad(self.peer_loss(self.train), alpha))
        self._move(vector, radius)
        return [a.grad - RATE * (p - n) / (2 * radius) for a, p, n in zip(alpha, *sides, strict=True)]

    def _move(self, vector: list[Tensor], by: float) -> None:
        with torch.no_grad():
            for p, v in zip(self.peer.parameters(), vector, strict=True):
                p.add_(v, alpha=by)


def steps(sides: Sides) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """name → (peer's, ours)."""
    return {
        "weight_step": (lambda: sides.peer_step(sides.train), sides.our_weight_step),
        "architecture_step": (lambda: sides.peer_step(sides.valid), sides.our_architecture_step),
        "second_order": (sides.peer_second_order, sides.our_second_order),
    }


def seconds(step: Callable[[], Any]) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


class Dispatched(TorchDispatchMode):
    """Counts operations."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def operations(step: Callable[[], Any]) -> int:
    with Dispatched() as dispatched:
        step()
    return dispatched.count


def peak_bytes(step: Callable[[], Any]) -> int:
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as p:
        step()
    events = sorted((e.start_ns(), e.nbytes()) for e in p.profiler.kineto_results.events() if e.name() == "[memory]")
    live = peak = 0
    for _, size in events:
        live += size
        peak = max(peak, live)
    return peak


def cpu() -> str:
    """The processor in words."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


def measure(sides: Sides, rounds: int) -> dict[str, Any]:
    timed = steps(sides)
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in timed}
    for round_ in range(-1, rounds):  # the first warms up
        for name, pair in timed.items():
            for side, step in enumerate(pair):
                spent = seconds(step)
                if round_ >= 0:
                    times[name][side].append(spent)
    median = {name: [statistics.median(side) for side in sides_] for name, sides_ in times.items()}
    median["first_order_pair"] = [sum(column) for column in zip(median["weight_step"], median["architecture_step"], strict=True)]
    found: dict[str, Any] = {}
    for name, (peer, ours) in median.items():
        found[name] = {"peer_seconds": round(peer, 4), "our_seconds": round(ours, 4), "speed_up": round(peer / ours, 2)}
    for what, of in (("operations", operations), ("peak_bytes", peak_bytes)):
        counted = {name: [of(step) for step in pair] for name, pair in timed.items()}
        both = zip(counted["weight_step"], counted["architecture_step"], strict=True)
        counted["first_order_pair"] = [sum(c) if what == "operations" else max(c) for c in both]
        for name, (peer, ours) in counted.items():
            found[name] |= {f"peer_{what}": peer, f"our_{what}": ours, f"{what}_ratio": round(ours / peer, 3)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"rounds": 5, "layers": 8, "channels": 16, "batch": 8, "size": 32}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "supernet-cpu.json")
    a = parser.parse_args()
    torch.set_num_threads(1)
    found = measure(Sides(a.layers, a.channels, a.batch, a.size), a.rounds)
    sizes = {"layers": a.layers, "channels": a.channels, "batch": a.batch, "size": a.size, "rounds": a.rounds}
    a.out.parent.mkdir(parents=True, exist_ok=True)
    a.out.write_text(json.dumps({"torch": torch.__version__, "cpu": cpu(), **sizes, "steps": found}, indent=2) + "\n")
    print(f"{'':20}{'peer s':>9}{'ours s':>9}{'speed-up':>10}{'operations':>18}{'peak memory, MB':>20}")
    for name, row in found.items():
        ops = f"{row['peer_operations']} → {row['our_operations']}"
        memory = f"{row['peer_peak_bytes'] / 1e6:.0f} → {row['our_peak_bytes'] / 1e6:.0f}"
        print(f"{name:20}{row['peer_seconds']:9.3f}{row['our_seconds']:9.3f}{row['speed_up']:10.2f}{ops:>18}{memory:>20}")
    for name, floor in FLOORS.items():
        print(f"{name}: {found[name]['speed_up']} (never below {floor})")


if __name__ == "__main__":
    main()
