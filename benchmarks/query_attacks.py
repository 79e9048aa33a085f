"""The part of `attacks.py` that asks and sees no gradient: HopSkipJump against ART and foolbox, NES against bare forward passes."""

import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from robnas.attacks import NES, HopSkipJump, State, Victim
from robnas.attacks.goal import Goal

STEPS, FIRST, MOST = 10, 25, 100


class Count(nn.Module):
    """Images that a model was asked; ART asks some in float64."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.n = model, 0

    def forward(self, x: Tensor) -> Tensor:
        self.n += len(x)
        return self.model(x.float())


def peak_mib(run: Callable[[], Any]) -> float:
    """Memory that a call adds at most, in MiB: in a child, whose peak starts from what it inherits."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        run()
        with os.fdopen(write, "wb") as file:
            pickle.dump(_status("VmHWM") - before, file)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        peak = pickle.load(file)
    os.waitpid(child, 0)
    return round(peak / 1024, 1)


def _status(name: str) -> float:
    return float(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)).split()[1])


@torch.no_grad()
def noise(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """A start for each input, the same for all contestants."""
    found, todo, random = x.clone(), torch.arange(len(x)), torch.Generator().manual_seed(0)
    while len(todo):
        images = torch.rand(len(todo), *x.shape[1:], generator=random)
        yes = model(images).argmax(1) != y[todo]
        found[todo[yes]] = images[yes]
        todo = todo[~yes]
    return found


@torch.no_grad()
def projected(model: nn.Module, x: Tensor, images: Tensor, y: Tensor) -> Tensor:
    """The last projection to the boundary, for those who leave it out: by bisection, to 2⁻²⁰ of the way."""
    low, high = torch.zeros(len(x)), torch.ones(len(x))
    for _ in range(20):
        middle = (low + high) / 2
        yes = model(torch.lerp(x, images, middle.view(-1, 1, 1, 1))).argmax(1) != y
        low, high = torch.where(yes, low, middle), torch.where(yes, middle, high)
    return torch.lerp(x, images, high.view(-1, 1, 1, 1))


def contestants(model: nn.Module, fast: nn.Module, x: Tensor, y: Tensor, starts: Tensor) -> dict[str, tuple[Count, Callable[[], Tensor]]]:
    """Name → the model that counts, and what runs it → images."""
    import foolbox
    from art.attacks.evasion import HopSkipJump as ArtHopSkipJump
    from art.estimators.classification import PyTorchClassifier

    def ours(counted: Count, **theta: float) -> Tensor:
        r = HopSkipJump(STEPS, FIRST, MOST, **theta)(counted.model, x, y, starts=starts)
        counted.n = int(r.queries.sum())  # the model is copied: it says itself what it asked
        return r.x_adv

    def art(counted: Count) -> Tensor:
        wrapped = PyTorchClassifier(counted, nn.CrossEntropyLoss(), tuple(x.shape[1:]), 10, clip_values=(0, 1), device_type="cpu")
        numbers = {"max_iter": STEPS, "max_eval": MOST, "init_eval": FIRST, "norm": 2, "batch_size": 256, "verbose": False}
        return torch.from_numpy(ArtHopSkipJump(wrapped, **numbers).generate(x.numpy(), x_adv_init=starts.numpy()))

    def box(counted: Count) -> Tensor:
        attack = foolbox.attacks.HopSkipJumpAttack(
            steps=STEPS, initial_gradient_eval_steps=FIRST, max_gradient_eval_steps=MOST, constraint="l2"
        )
        wrapped = foolbox.PyTorchModel(counted, bounds=(0, 1), device="cpu")
        return attack(wrapped, x, foolbox.criteria.Misclassification(y), epsilons=None, starting_points=starts)[1]

    found = {}
    art_theta = 0.01 * x[0].numel()  # γ with which θ = 0.01/√d, ART's
    for name, on, run in (
        ("robnas", model, ours),
        ("robnas, θ of ART", model, lambda counted: ours(counted, gamma=art_theta)),
        ("art", model, art),
        ("foolbox", model, box),
        ("art, prepared model", fast, art),
        ("foolbox, prepared model", fast, box),
    ):
        counted = Count(on).eval()
        found[name] = counted, lambda run=run, counted=counted: run(counted)
    return found


def hopskipjump(model: nn.Module, x: Tensor, y: Tensor, rounds: int) -> dict[str, Any]:
    """CPU time per query, mean distance as returned and after a projection, peak memory."""
    victim = Victim.prepare(model)
    starts = noise(model, x, y)
    runs = contestants(model, victim._fast, x, y, starts)
    times: dict[str, list[float]] = {k: [] for k in runs}
    lines: dict[str, Any] = {k: {} for k in runs}
    for n in range(rounds):
        for k, (counted, run) in runs.items():
            counted.n, begin = 0, time.process_time()
            images = run()
            times[k].append((time.process_time() - begin) / counted.n)
            if n == 0:
                near = (images - x).flatten(1).norm(dim=1)
                after = (projected(model, x, images, y) - x).flatten(1).norm(dim=1)
                lines[k] = {
                    "queries_an_input": round(counted.n / len(x), 1),
                    "mean_distance": round(float(near.mean()), 4),
                    "mean_distance_projected": round(float(after.mean()), 4),
                    "not_adversarial": int((model(images).argmax(1) == y).sum()),
                }
    for k, (_, run) in runs.items():
        ratios = [a / b for a, b in zip(times[k], times["robnas"], strict=True)]
        lines[k] |= {"microseconds_a_query": round(1e6 * median(times[k]), 1), "ratio": round(median(ratios), 2)}
        lines[k] |= {"worst_ratio": round(min(ratios), 2), "peak_mib": peak_mib(run)}
    print(f"\nHopSkipJump, {STEPS} iterations ({len(x)} inputs, shared starts)")
    print(f"{'':26}{'µs/query':>9}{'ratio':>7}{'worst':>7}{'queries':>9}{'distance':>9}{'projected':>10}{'MiB':>7}")
    for k, v in lines.items():
        print(
            f"{k:26}{v['microseconds_a_query']:9.1f}{v['ratio']:7.2f}{v['worst_ratio']:7.2f}{v['queries_an_input']:9.1f}"
            f"{v['mean_distance']:9.4f}{v['mean_distance_projected']:10.4f}{v['peak_mib']:7.0f}"
        )
    return lines


def bare(net: nn.Module, layout: torch.memory_format, n: int) -> float:
    """CPU seconds of n forward passes, 256 at once, images ready-made."""
    images = torch.rand(min(n, 256), 3, 32, 32).to(memory_format=layout)
    begin = time.process_time()
    with torch.no_grad():
        for i in range(0, n, 256):
            net(images[: min(256, n - i)])
    return time.process_time() - begin


def estimate(attack: NES, victim: Victim, x: Tensor, y: Tensor) -> tuple[Tensor, float]:
    """Eq. 10 → gradient, CPU seconds."""
    s = State(x, Goal(y), torch.arange(len(x)))
    begin = time.process_time()
    with torch.no_grad():
        gradient = attack.gradient(victim.black_box(s, "score"), s)
    return gradient, time.process_time() - begin


def nes(model: nn.Module, x: Tensor, y: Tensor, rounds: int, n_queries: int = 400) -> dict[str, Any]:
    """One estimate against as many forward passes of the same model, right before and after; its cosine to the true gradient."""
    attack, lines = NES(n_queries=n_queries), {}
    prepared, given = Victim.prepare(model), Victim.prepare(model, fast=False)
    for victim in (prepared, given):
        victim.judge(x[:16])
    for n in (1, 16, 64):
        leaf = x[:n].clone().requires_grad_(True)
        (truth,) = torch.autograd.grad(Goal(y[:n]).losses(model(leaf)).sum(), leaf)
        ratios: dict[str, list[float]] = {"prepared": [], "as given": []}
        for _ in range(rounds):
            for name, victim in (("as given", given), ("prepared", prepared)):
                before = bare(victim._fast, victim._layout, n * n_queries)
                gradient, spent = estimate(attack, victim, x[:n], y[:n])
                ratios[name].append(2 * spent / (before + bare(victim._fast, victim._layout, n * n_queries)))
        cosine = cosine_similarity(gradient.flatten(1), truth.flatten(1))
        lines[str(n)] = {f"over_bare_forwards, {k}": round(median(v), 3) for k, v in ratios.items()}
        lines[str(n)] |= {"cosine_of_the_first": round(float(cosine[0]), 4), "mean_cosine": round(float(cosine.mean()), 4)}
        lines[str(n)]["peak_mib"] = peak_mib(lambda n=n: estimate(attack, prepared, x[:n], y[:n]))
    print(f"\nNES, one estimate of {n_queries} queries: CPU time over that of bare forwards")
    print(f"{'inputs':>8}{'prepared':>10}{'as given':>10}{'cosine of the first':>21}{'mean':>8}{'MiB':>7}")
    for k, v in lines.items():
        both = [v[f"over_bare_forwards, {name}"] for name in ("prepared", "as given")]
        print(f"{k:>8}{both[0]:10.3f}{both[1]:10.3f}{v['cosine_of_the_first']:21.4f}{v['mean_cosine']:8.4f}{v['peak_mib']:7.0f}")
    return lines
