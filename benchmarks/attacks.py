"""PGD, HopSkipJump and NES against three libraries: CPU time of one thread, as ratios in interleaved rounds of one process.

    python benchmarks/attacks.py [pgd] [hopskipjump] [nes] [--rounds 3] [--inputs 128] [--out benchmarks/results/attacks-cpu.json]

Two tasks on a small ResNet trained on digits (half contrast, enlarged to 32×32): the most likely class in 3 steps (Table 6, M), and
untargeted with 7 steps and five restarts, both at ε = 8/255, α = 2/255. Each library runs as its documentation shows, once on the model
as it is and once on the copy that robnas prepares for itself (BatchNorm folded, channels_last), which tells the two parts of the gain
apart; "bare passes" are K · restarts forward and input-gradient passes of all inputs through that copy, and nothing else. The time of all
includes ranking the classes; robnas's also preparing that copy, leaving out what the model gets wrong, and verifying each success on the
model as it is. HopSkipJump and NES: see `query_attacks.py`. What is not named keeps its numbers in the file.
"""

import argparse
import json
import platform
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import query_attacks
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate, relu

from robnas.attacks import PGD, Victim
from robnas.data.digits import Digits

EPS, ALPHA = 8 / 255, 2 / 255
TASKS = {"most likely, 3 steps": ("most_likely", 3, 1), "untargeted, 7 steps, 5 restarts": ("untargeted", 7, 5)}


class Block(nn.Module):
    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.a, self.bn_a = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out)
        self.b, self.bn_b = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False), nn.BatchNorm2d(c_out)
        same = stride == 1 and c_in == c_out
        self.skip = nn.Identity() if same else nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.bn_b(self.b(relu(self.bn_a(self.a(x))))) + self.skip(x))


class ResNet(nn.Sequential):
    """78k parameters."""

    def __init__(self) -> None:
        stem = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        super().__init__(
            stem, Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)
        )


def enlarged(x: Tensor) -> Tensor:
    return interpolate(x, scale_factor=2.0)


def trained(data: Digits, epochs: int = 8) -> nn.Module:
    torch.manual_seed(0)
    model = ResNet()
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    for _ in range(epochs):
        for batch in data.train_dataloader():
            optimizer.zero_grad()
            cross_entropy(model(enlarged(batch.x)), batch.y).backward()
            optimizer.step()
    return model.eval()


def runs(model: nn.Module, x: Tensor, y: Tensor, goal: str, steps: int, restarts: int) -> dict[str, Callable[[], Tensor]]:
    """Each library's way to do it → adversarial images."""
    import foolbox
    import torchattacks
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    once, random_start = restarts == 1, restarts > 1

    def target() -> Tensor:
        with torch.no_grad():
            return model(x).topk(2).indices[:, 1]

    def torchattacks_pgd() -> Tensor:
        tool = torchattacks.PGD(model, eps=EPS, alpha=ALPHA, steps=steps, random_start=random_start)
        if goal != "untargeted":
            tool.set_mode_targeted_by_label(quiet=True)
            return tool(x, target())
        return (tool if once else torchattacks.MultiAttack([tool] * restarts))(x, y)

    def foolbox_pgd() -> Tensor:
        attack = foolbox.attacks.LinfProjectedGradientDescentAttack(abs_stepsize=ALPHA, steps=steps, random_start=random_start)
        criterion = foolbox.criteria.Misclassification(y) if goal == "untargeted" else foolbox.criteria.TargetedMisclassification(target())
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")
        return (attack if once else attack.repeat(restarts))(wrapped, x, criterion, epsilons=EPS)[1]

    def art_pgd() -> Tensor:
        wrapped = PyTorchClassifier(model, nn.CrossEntropyLoss(), tuple(x.shape[1:]), 10, clip_values=(0, 1), device_type="cpu")
        numbers = {"norm": np.inf, "eps": EPS, "eps_step": ALPHA, "max_iter": steps, "batch_size": len(x), "verbose": False}
        labels = y if goal == "untargeted" else target()
        numbers |= {"targeted": goal != "untargeted", "num_random_init": restarts if random_start else 0}
        return torch.from_numpy(
            ProjectedGradientDescent(wrapped, **numbers).generate(x.numpy(), np.eye(10, dtype=np.float32)[labels.numpy()])
        )

    return {"torchattacks": torchattacks_pgd, "foolbox": foolbox_pgd, "art": art_pgd}


def bare(victim: Victim, x: Tensor, y: Tensor, passes: int) -> Tensor:
    """What no attack of that many steps on all inputs can do without → x."""
    for _ in range(passes):
        moved = x.clone().requires_grad_()
        torch.autograd.grad(cross_entropy(victim._fast(moved), y, reduction="sum"), moved)
    return x


def reached(model: nn.Module, images: Tensor, x: Tensor, y: Tensor, goal: str) -> int:
    with torch.no_grad():
        now, clean = model(images).argmax(1), model(x)
    right = clean.argmax(1) == y
    return int((right & (now != y if goal == "untargeted" else now == clean.topk(2).indices[:, 1])).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", nargs="*", default=[], metavar="pgd | hopskipjump | nes", help="all if none is named")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--inputs", type=int, default=128)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "attacks-cpu.json")
    options = parser.parse_args()
    which = options.which or ["pgd", "hopskipjump", "nes"]
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    data = Digits(batch_size=50)
    model = trained(data)
    batch = next(iter(Digits(batch_size=options.inputs).test_dataloader()))
    x, y = enlarged(batch.x), batch.y
    with torch.no_grad():
        right = model(x).argmax(1) == y
    x, y = x[right], y[right]
    report = json.loads(options.out.read_text()) if options.out.exists() else {}
    if "pgd" in which:
        report |= pgd(model, x, y, options.rounds)
    for name, measure in (("hopskipjump", query_attacks.hopskipjump), ("nes", query_attacks.nes)):
        if name in which:
            about = {"machine": platform.machine(), "torch": torch.__version__, "inputs": len(x), "rounds": options.rounds}
            report[name] = about | {"lines": measure(model, x, y, options.rounds)}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")


def pgd(model: nn.Module, x: Tensor, y: Tensor, rounds: int) -> dict[str, object]:
    begin = time.process_time()
    victim = Victim.prepare(model)
    preparing = time.process_time() - begin
    report = {"machine": platform.machine(), "torch": torch.__version__, "inputs": len(x), "rounds": rounds}
    report |= {"parameters": sum(p.numel() for p in model.parameters()), "seconds_to_prepare": round(preparing, 4), "tasks": {}}
    for name, (goal, steps, restarts) in TASKS.items():
        attack = PGD(EPS, ALPHA, steps, restarts, random_start=restarts > 1, goal=goal)
        contestants = {"robnas": lambda attack=attack: attack(model, x, y).x_adv}
        contestants |= runs(model, x, y, goal, steps, restarts)
        contestants["bare passes, prepared model"] = lambda passes=steps * restarts: bare(victim, x, y, passes)
        contestants |= {f"{k}, prepared model": f for k, f in runs(victim._fast, x, y, goal, steps, restarts).items()}
        successes = {k: reached(model, run(), x, y, goal) for k, run in contestants.items()}  # the first call of each is not timed
        times: dict[str, list[float]] = {k: [] for k in contestants}
        for _ in range(rounds):
            for k, run in contestants.items():
                begin = time.process_time()
                run()
                times[k].append(time.process_time() - begin)
        ours = times["robnas"]
        lines = {
            k: {
                "seconds": round(median(t), 4),
                "ratio": round(median(a / b for a, b in zip(t, ours, strict=True)), 2),
                "worst_ratio": round(min(a / b for a, b in zip(t, ours, strict=True)), 2),
                "successes": successes[k],
                "peak_mib": query_attacks.peak_mib(contestants[k]),
            }
            for k, t in times.items()
        }
        report["tasks"][name] = lines
        print(f"\n{name} ({len(x)} inputs)\n{'':32}{'CPU s':>8}{'ratio':>8}{'worst':>8}{'broken':>8}{'MiB':>8}")
        for k, line in lines.items():
            print(
                f"{k:32}{line['seconds']:8.3f}{line['ratio']:8.2f}{line['worst_ratio']:8.2f}{line['successes']:8d}{line['peak_mib']:8.0f}"
            )
    return report


if __name__ == "__main__":
    main()
