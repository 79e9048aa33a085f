"""How long `robnas report` takes on many rows: a folder is made up, as a study of many seeds, data sets and protocols would leave it.

    python benchmarks/report.py [--rows 100000] [--at FOLDER]

The aim is under 20 seconds for 100,000 rows. The numbers are drawn by lot: the page of it shows what pages look like, and nothing else.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robnas.identity import identity_of
from robnas.report.names import MODELS
from robnas.results import Row
from robnas.statistics import wilson

MANUAL = ("bit", "densenet", "dla", "resnet", "resnext", "vgg", "wide_resnet")
NAS = ("amoebanet", "darts", "drnas", "enas", "nasnet", "pc_darts", "pdarts", "sgas", "snas", "random")
PROBED = ("gradient_variance", "gradient_variance_per_parameter", "mean_gradient_squared")
VERSIONS = {"robnas": "0.1.0", "torch": "2.15.0", "lightning": "2.6.6", "numpy": "2.4.6"}
EPS = tuple(k / 255 for k in (0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32))


def study(root: Path, rows: int) -> int:
    """Folders below `root` with at least that many rows → how many."""
    written = 0
    for seed in range(10_000):
        for dataset in ("CIFAR10", "CIFAR100", "Digits"):
            for protocol in ("sound", "paper", "artifact"):
                for model in (*NAS, *MANUAL):
                    if written >= rows:
                        return written
                    written += sum(write(root, *job) for job in jobs(model, dataset, protocol, seed))
    return written


def write(root: Path, experiment: str, facts: dict[str, Any], rows: list[Row]) -> int:
    """A run folder."""
    folder = root / experiment / rows[0].job
    folder.mkdir(parents=True, exist_ok=True)
    note = {"identity": facts["identity"], "experiment": experiment, "state": "finished", "created": "2026-01-01T00:00:00+0000", **facts}
    (folder / "job.json").write_text(json.dumps(note))
    (folder / "config.yaml").write_text(f"experiment: {experiment}\nscale: {'tiny' if rows[0].dataset == 'Digits' else 'null'}\n")
    (folder / "results.jsonl").write_text("".join(f"{row.to_json()}\n" for row in rows))
    return len(rows)


def jobs(model: str, dataset: str, protocol: str, seed: int) -> Iterator[tuple[str, dict[str, Any], list[Row]]]:
    """(experiment, facts, rows) of the training, of what was done to it, and of what was stolen from it."""
    lot = random.Random(f"{model} {dataset} {protocol} {seed}")
    family = "manual" if model in MANUAL else "nas"
    weak = (0.1 if family == "nas" else 0.0) + random.Random(model).uniform(-0.1, 0.1)
    who = identity_of({"of": [model, dataset, protocol, seed]})
    command = ["robnas", "fit", "--config", "classify.yaml", f"--model.network={model}", f"--seed_everything={seed}"]
    same: dict[str, Any] = {
        "dataset": dataset,
        "family": family,
        "train_seed": seed,
        "protocol": protocol,
        "versions": VERSIONS,
        "commit": "0" * 12,
    }

    def row(kind: str, plugin: str, metric: str, value: float, share: bool = True, name: str = model, **more: Any) -> Row:
        value = min(max(value, 0.0), 1.0) if share else value
        n = 1000 if share else 512
        ci = wilson(round(value * n), n) if share else (0.9 * value, 1.1 * value)
        more = {"job": who[:12], "victim": who[:12], "attack_seed": seed if kind == "attack" else None, **more}
        return Row(
            metric, value, model=name, kind=kind, plugin=plugin, n=n, eligible=n, ci=ci, ci_method="wilson", seconds=1.0, **same, **more
        )

    trained = [row("train", "accuracy", "accuracy", 0.95 + lot.uniform(-0.02, 0.02))]
    size = random.Random(model).uniform(2e6, 3e7)
    trained += [row("train", "size", name, scale * size, share=False) for name, scale in (("parameters", 1), ("flops", 150))]
    for goal, hit in (("untargeted", 0.9), ("most_likely", 0.8), ("least_likely", 0.5)):
        params = {"eps": 8 / 255, "step_size": 2 / 255, "steps": 7, "goal": goal, "norm": "linf"}
        asr = hit + weak + lot.gauss(0, 0.03)
        trained += evasion(row, "pgd", params, asr, "white")
    for eps in EPS:
        trained += evasion(row, "epssweep", {"eps": eps, "steps": 20, "goal": "untargeted"}, 12 * eps * (1 + weak), "white")
    trained += evasion(row, "nes", {"eps": 8 / 255, "n_queries": 400, "goal": "most_likely"}, 0.4 + weak + lot.gauss(0, 0.04), "score")
    trained += evasion(row, "square", {"eps": 8 / 255, "n_queries": 500, "goal": "untargeted"}, 0.6 + weak + lot.gauss(0, 0.04), "score")
    trained.append(
        row("attack", "hopskipjumpdistance", "auc", 0.55 + weak / 2 + lot.gauss(0, 0.01), access="label", params={"max_inputs": 1000})
    )
    for hook in ("fit_start", "fit_end"):
        trained += [row("probe", "gradientvariance", m, lot.uniform(1, 9), share=False, params={"at": hook}) for m in PROBED]
    trained += [
        row("probe", "convergence", f"epochs_to_loss_{loss}", lot.randint(1, 9), share=False, params={"at": "fit_end"}) for loss in (1, 0.5)
    ]
    yield "classify", {"identity": who, "command": command}, trained

    for rate in (0.05, 0.1, 0.2, 0.4):
        job = identity_of({"flipped": [who, rate]})
        params = {"rate": rate, "flips": "uniform", "clean": f"runs/classify/{who[:12]}"}
        more = {"job": job[:12], "victim": job[:12], "params": params, "access": "training", "name": f"{model} + label_flip"}
        note = {"identity": job, "command": command, "upstream": {params["clean"]: who}}
        yield "label_flip", note, [row("attack", "labelflip", "cad", rate * (0.4 - weak) + lot.gauss(0, 0.01), **more)]
    job = identity_of({"trojan": who})
    more = {"job": job[:12], "victim": job[:12], "params": {"neurons": 2, "target": 0}, "access": "training", "name": f"{model} + trojannn"}
    hit = [row("attack", "trojannn", "asr", 0.9 + weak, **more), row("attack", "trojannn", "cad", 0.02 + lot.gauss(0, 0.005), **more)]
    yield "trojannn", {"identity": job, "command": command, "upstream": {f"runs/classify/{who[:12]}": who}}, hit
    for budget in (1000, 2000, 4000, 8000, 16000):
        job = identity_of({"stolen": [who, budget]})
        params = {"strategy": "adaptive", "budget": budget, "victim": who[:12]}
        more = {"job": job[:12], "victim": job[:12], "params": params, "access": "training", "name": f"{model} + knockoff"}
        note = {"identity": job, "command": command, "upstream": {f"runs/classify/{who[:12]}": who}}
        yield "knockoff", note, [row("attack", "knockoff", "ace", 2 - 0.1 * (budget / 1000) ** 0.5 - weak, share=False, **more)]


def evasion(row: Any, plugin: str, params: dict[str, Any], asr: float, access: str) -> list[Row]:
    """Success, robust accuracy and clean accuracy."""
    more = {"params": params, "access": access, "norm": "linf"}
    values = {"asr": asr, "robust_accuracy": 0.95 * (1 - min(max(asr, 0), 1)), "clean_accuracy": 0.95}
    return [row("attack", plugin, metric, value, **more) for metric, value in values.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--at", type=Path, help="keep the folder there")
    options = parser.parse_args()
    assert set(NAS + MANUAL) <= set(MODELS)
    with tempfile.TemporaryDirectory() as scratch:
        root = options.at or Path(scratch)
        n = study(root, options.rows)
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "robnas", "report", str(root)], check=True)
        took, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        size = (root / "report.html").stat().st_size / 1e6
        print(f"{n:,} rows in {took:.1f} s of wall clock, {used.ru_utime + used.ru_stime:.1f} s of CPU; page of {size:.1f} MB")


if __name__ == "__main__":
    main()
