"""Our training loop against a hand-written one, and what its options add, as ratios in one run.

    python benchmarks/training.py [--rounds 7] [--out benchmarks/results/training-cpu.json]

- Ours is what `robnas fit` runs: robnas's Trainer with all its callbacks, metrics.csv, a line an epoch, checkpoints that reach the disk.
- The peer is a loop in plain PyTorch with the same network, batches, augmentation (the same functions) and recipe (Table 6), its own
  sums of loss and accuracy, validation and a `torch.save` at each epoch's end. Both end with the same bits, which is checked.
- Each round runs both, in turns first; the first epoch of each is not counted. Ratio: the peer's time by ours, the median over rounds,
  so that above 1 ours is faster. CPU time of the process is the measure, for others may work on the machine; wall clock stands beside it.
- Options: images per second of our loop with an option by those without, in the same way.
- Memory: largest resident set of a process of its own that trains for two epochs, above what data and libraries took (Linux).
- Data: time to fetch a batch, and to augment it, beside the time of a step.
"""

import argparse
import contextlib
import gc
import io
import json
import math
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch import Callback
from torch import nn
from torch.nn.functional import cross_entropy
from torchvision.io import write_png

import robnas
from robnas import seeds
from robnas.copies import digest
from robnas.data import Digits, ImageFolder, Textures32
from robnas.data.base import ImageData, as_float
from robnas.models.build import describe, of_architecture
from robnas.runtime.loggers import CSV
from robnas.runtime.trainer import Trainer
from robnas.tasks.classifier import Classifier

BATCH, RATE = 96, 0.025
CASES: dict[str, dict[str, Any]] = {
    "resnet, tiny, digits 16x16": {"network": "resnet", "size": "tiny", "options": {}, "data": "digits", "epochs": 3, "steps": 13},
    "darts, tiny, digits 16x16": {"network": "darts", "size": "tiny", "options": {}, "data": "digits", "epochs": 1, "steps": 13},
    "resnet-18, a quarter as wide, textures 32x32": {
        "network": "resnet",
        "size": "paper",
        "options": {"width": 16},
        "data": "textures",
        "epochs": 1,
        "steps": 4,
    },
}
OPTIONS: dict[str, dict[str, Any]] = {
    "without channels_last": {"channels_last": False},
    "bf16-mixed": {"precision": "bf16-mixed"},
    "ema": {"ema": 0.999},
    "compile": {"compile_network": True},
}
COMPILED = list(CASES)[:1]
"""A cell network takes minutes to compile on one core."""
Times = tuple[float, float]
"""CPU and wall clock, in seconds."""


def data_of(case: dict[str, Any]) -> ImageData:
    made = {
        "digits": lambda: Digits(batch_size=BATCH, seed=0),
        "textures": lambda: Textures32(batch_size=BATCH, seed=0, n_train=1200, n_test=100),
    }
    data = made[case["data"]]()
    data.setup()
    return data


def clock() -> Times:
    return time.process_time(), time.perf_counter()


def since(start: Times) -> Times:
    return time.process_time() - start[0], time.perf_counter() - start[1]


# Ours


class Stopwatch(Callback):
    """From the end of the first epoch to the end of the last."""

    def __init__(self) -> None:
        self.start, self.times = clock(), (math.nan, math.nan)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == 1:
            self.start = clock()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self.times = since(self.start)


def ours(case: dict[str, Any], data: ImageData, precision: str = "32-true", **arguments: Any) -> tuple[Times, str]:
    """→ times of all epochs but the first, digest of the weights."""
    watch = Stopwatch()
    task = Classifier(case["network"], case["size"], case["options"], RATE, **arguments)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        trainer = Trainer(
            default_root_dir=folder,
            max_epochs=case["epochs"] + 1,
            limit_train_batches=case["steps"],
            callbacks=[watch],
            logger=[CSV(folder)],
            accelerator="cpu",
            devices=1,
            num_sanity_val_steps=0,
            precision=precision,
        )
        trainer.fit(task, data)
    data.trainer = None
    assert task.model is not None
    return watch.times, digest(task.model)


# The peer


def network_of(case: dict[str, Any], data: ImageData) -> nn.Module:
    torch.manual_seed(seeds.derive(0, "weights"))
    described = {"description": describe(case["network"]), "size": case["size"], "options": case["options"]}
    shape = {"num_classes": data.num_classes, "image_shape": list(data.image_shape), "mean": list(data.mean), "std": list(data.std)}
    return of_architecture(described | shape)


def peer(case: dict[str, Any], data: ImageData) -> tuple[Times, str]:
    """As `ours`, in plain PyTorch."""
    model = network_of(case, data)
    images, (kept, held) = data.sets()[0], data.parts()
    epochs = case["epochs"] + 1
    optimizer = torch.optim.SGD(model.parameters(), RATE, momentum=0.9, weight_decay=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    with tempfile.TemporaryDirectory() as folder:
        for epoch in range(epochs):
            if epoch == 1:
                start = clock()
            model.train()
            order = data.loader(images, kept, data.seed, "train").batch_sampler
            order.set_epoch(epoch)
            total, right = torch.zeros(()), torch.zeros((), dtype=torch.int64)
            for index in order.order()[: case["steps"] * BATCH].split(BATCH):
                x, y, _ = data.augmented(images.__getitems__(index), epoch)
                optimizer.zero_grad()
                logits = model(x)
                loss = cross_entropy(logits, y)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                optimizer.step()
                total, right = total + loss.detach(), right + (logits.argmax(1) == y).sum()
            model.eval()
            with torch.inference_mode():
                for index in held.split(BATCH):
                    x, y, _ = as_float(images.__getitems__(index))
                    logits = model(x)
                    total, right = total + cross_entropy(logits, y), right + (logits.argmax(1) == y).sum()
            float(total), float(right)
            scheduler.step()
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, Path(folder) / "last.pt")
        times = since(start)
    return times, digest(model)


# Ratios


def compared(first: Callable[[], tuple[Times, str]], second: Callable[[], tuple[Times, str]], rounds: int) -> list[tuple[Times, Times]]:
    """Times of both in each round; who begins changes."""
    found = []
    for round_ in range(rounds):
        pair: dict[int, Times] = {}
        for i in (0, 1) if round_ % 2 else (1, 0):
            gc.collect()
            pair[i] = (first, second)[i]()[0]
        found.append((pair[0], pair[1]))
    return found


def summary(pairs: list[tuple[Times, Times]], images: int, names: tuple[str, str]) -> dict[str, Any]:
    """Images per second of both by CPU time, and by how much the second is faster than the first."""
    cpu, wall = ([a[i] / b[i] for a, b in pairs] for i in (0, 1))
    rates = {f"{name}_images_per_cpu_second": round(images / statistics.median(p[i][0] for p in pairs), 1) for i, name in enumerate(names)}
    spread = {"lowest_ratio": round(min(cpu), 3), "highest_ratio": round(max(cpu), 3)}
    return rates | {"ratio": round(statistics.median(cpu), 3), "ratio_wall": round(statistics.median(wall), 3)} | spread


def loops(rounds: int) -> dict[str, Any]:
    found = {}
    for name, case in CASES.items():
        data = data_of(case)
        assert ours(case, data)[1] == peer(case, data)[1], f"{name}: the two loops end with other weights"
        pairs = compared(lambda c=case, d=data: peer(c, d), lambda c=case, d=data: ours(c, d), rounds)  # type: ignore[misc]
        found[name] = summary(pairs, case["epochs"] * case["steps"] * BATCH, ("peer", "our"))
        print(f"{name:48}{found[name]}", flush=True)
    return found


def options(rounds: int, wanted: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, case in CASES.items():
        data = data_of(case)
        for option in wanted:
            arguments = OPTIONS[option]
            if "compile_network" in arguments and name not in COMPILED:
                continue
            if "compile_network" in arguments:
                start = time.perf_counter()
                ours(case, data, **arguments)
                seconds = time.perf_counter() - start
            pairs = compared(lambda c=case, d=data: ours(c, d), lambda c=case, d=data, a=arguments: ours(c, d, **a), rounds)  # type: ignore[misc]
            one = summary(pairs, case["epochs"] * case["steps"] * BATCH, ("plain", "option"))
            found.setdefault(name, {})[option] = one | ({"first_fit_seconds": round(seconds, 1)} if "compile_network" in arguments else {})
            print(f"{name:48}{option:24}{found[name][option]}", flush=True)
    return found


# Memory


def resident(field: str) -> float:
    """MB of this process: "VmRSS" now, "VmHWM" the most since `forget_peak`."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1e3


def forget_peak() -> None:
    """Making the data takes more than some trainings do."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")


def child(side: str, name: str, option: str) -> None:
    """Train for two epochs and print how much memory that took."""
    case = CASES[name] | {"epochs": 1}
    data = data_of(case)
    forget_peak()
    before = resident("VmRSS")
    if side == "peer":
        peer(case, data)
    else:
        ours(case, data, **(OPTIONS[option] if option else {}))
    print(json.dumps({"imported": before, "peak": resident("VmHWM")}))


def memory() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in CASES:
        sides = {"peer": ("peer", ""), "ours": ("ours", ""), **{o: ("ours", o) for o in OPTIONS if o != "compile"}}
        for key, (side, option) in sides.items():
            command = [sys.executable, __file__, "--child", side, "--case", name, "--option", option]
            lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
            one = json.loads(lines[-1])
            found.setdefault(name, {})[key] = {k: round(v) for k, v in one.items()} | {"training": round(one["peak"] - one["imported"])}
        print(f"{name:48}{ {k: v['training'] for k, v in found[name].items()} } MB", flush=True)
    return found


# Data


def milliseconds(step: Callable[[], Any], times: int = 20) -> float:
    step()
    spent = []
    for _ in range(times):
        start = time.process_time()
        step()
        spent.append(time.process_time() - start)
    return round(1e3 * statistics.median(spent), 3)


def loading() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, case in CASES.items():
        data = data_of(case)
        model, images = network_of(case, data).train(), data.sets()[0]
        index = data.parts()[0][:BATCH]
        batch = images.__getitems__(index)
        x, y, _ = data.augmented(batch, 0)

        def step(model: nn.Module = model, x: Any = x, y: Any = y) -> None:
            cross_entropy(model(x), y).backward()

        def fetch(images: Any = images, index: Any = index) -> Any:
            return images.__getitems__(index)

        def augment(data: ImageData = data, batch: Any = batch) -> Any:
            return data.augmented(batch, 0)

        found[name] = {"fetch_ms": milliseconds(fetch), "augment_ms": milliseconds(augment), "step_ms": milliseconds(step, 7)}
        print(f"{name:48}{found[name]}", flush=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        textures = Textures32(n_train=300, n_test=10)
        for image, label in zip(textures.sets()[0].x, textures.sets()[0].y.tolist(), strict=True):  # type: ignore[attr-defined]
            place = Path(folder) / str(label)
            place.mkdir(exist_ok=True)
            write_png(image, str(place / f"{len(list(place.iterdir()))}.png"))
        files = ImageFolder(root=folder, memory=0.0).sets()[0]
        index = torch.arange(BATCH)
        found["files of 32x32 pixels, decoded as needed"] = {"fetch_ms": milliseconds(lambda: files.__getitems__(index))}
    print(found["files of 32x32 pixels, decoded as needed"])
    return found


def cpu() -> str:
    """The processor in words."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "loops": lambda a: loops(a.rounds),
    "options": lambda a: options(max(a.rounds // 2, 1), a.options),
    "memory_mb": lambda a: memory(),
    "data": lambda a: loading(),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=list(PARTS), help="others are kept as the file has them")
    parser.add_argument("--options", nargs="*", default=list(OPTIONS), choices=list(OPTIONS))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "training-cpu.json")
    for name in ("child", "case", "option"):
        parser.add_argument(f"--{name}", default="", help=argparse.SUPPRESS)
    a = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    if a.child:
        child(a.child, a.case, a.option)
        return
    report: dict[str, Any] = json.loads(a.out.read_text()) if a.out.is_file() else {}
    versions = {
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "robnas": robnas.__version__,
        "python": platform.python_version(),
    }
    report |= {"machine": platform.machine(), "cpu": cpu(), "threads": 1, "versions": versions, "batch": BATCH, "rounds": a.rounds}
    for part in a.parts:
        report[part] = PARTS[part](a)
        a.out.parent.mkdir(parents=True, exist_ok=True)
        a.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
