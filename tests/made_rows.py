"""A study folder of made-up rows, as large as wanted, for tests of tables and figures: what runs would write, without runs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robnas.report.collected import Collected
from robnas.results import Row, Rows

NAS = ("amoebanet", "darts", "drnas", "enas", "nasnet", "pc_darts", "pdarts", "sgas", "snas", "random")
MANUAL = ("bit", "densenet", "dla", "resnet", "resnext", "vgg", "wide_resnet")
FAMILY = dict.fromkeys((*NAS, "darts_i", "darts_ii", "darts_iii"), "nas") | dict.fromkeys(MANUAL, "manual")
PGD = {"eps": 8 / 255, "step_size": 2 / 255, "steps": 7, "n_restarts": 5, "goal": "least_likely", "norm": "linf"}
DIFFERENT = 0.15
"""How much more NAS models break than manual ones, in these rows."""


class Made:
    """Rows of many runs below a folder. add: one row of a run; outcomes: of its inputs, too. collected: read back as a report does."""

    def __init__(
        self, root: Path, models: Sequence[str] = ("darts", "resnet"), seeds: int = 1, datasets: Sequence[str] = ("Digits",)
    ) -> None:
        self.root, self.models, self.seeds, self.datasets = root, tuple(models), seeds, tuple(datasets)
        self.rng = np.random.default_rng(0)
        self.rows: dict[str, list[Row]] = {}
        self.victims: dict[str, str] = {}
        self.identities: dict[str, str] = {}

    def each(self):
        """(model, seed, data set, what its share would be) of every run."""
        for dataset in self.datasets:
            for k, model in enumerate(self.models):
                for seed in range(self.seeds):
                    share = 0.5 + DIFFERENT * (FAMILY[model] == "nas") + 0.02 * (k % 5) + self.rng.normal(0, 0.02)
                    yield model, seed, dataset, float(np.clip(share, 0, 1))

    def add(self, model: str, seed: int, dataset: str, metric: str, value: float | None, experiment: str = "classify", **more: Any) -> str:
        """→ the run's place."""
        name = f"{FAMILY[model][0]}{model}{seed}{dataset}{more.pop('run', '')}".lower().replace("_", "")
        place = f"{experiment}/{name}"
        n = more.pop("n", 1000)
        ci = more.pop("ci", None if value is None else (value - 0.03, value + 0.03))
        treatment = more.pop("treatment", "")
        outcomes = more.pop("outcomes", None)
        common = {"job": name, "dataset": dataset, "model": model + treatment, "family": FAMILY[model], "victim": name, "train_seed": seed}
        row = Row(metric=metric, value=value, **(common | {"n": n, "ci": ci, "ci_method": "wilson", "protocol": "paper"} | more))
        if outcomes is not None:
            where = Rows(self.root / place / "results.jsonl").write_outcomes(f"{row.plugin}-{len(self.rows.get(place, []))}", outcomes)
            row = Row(**(vars(row) | {"outcomes": where}))
        self.rows.setdefault(place, []).append(row)
        return place

    def write(self) -> Path:
        """Everything that was added."""
        for place, rows in self.rows.items():
            folder = self.root / place
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "results.jsonl").write_text("".join(row.to_json() + "\n" for row in rows))
            facts = {
                "identity": self.identities.get(place, folder.name.ljust(40, "0")),
                "experiment": folder.parent.name,
                "state": "finished",
                "command": ["robnas", "fit"],
            }
            upstream = {"victim": self.victims[place].ljust(40, "0")} if place in self.victims else {}
            (folder / "job.json").write_text(json.dumps(facts | {"upstream": upstream}))
            if not (folder / "config.yaml").exists():
                (folder / "config.yaml").write_text("model: {class_path: robnas.tasks.classifier.Classifier}\n")
        return self.root

    def collected(self) -> Collected:
        """As a report reads it."""
        return Collected.read(self.write())


def everything(made: Made) -> Made:
    """Rows of Tables 1 and 2 and Figs 2 to 10."""
    for model, seed, dataset, share in made.each():
        made.add(model, seed, dataset, "accuracy", 0.9 + 0.1 * share / 2, kind="train", plugin="accuracy", params={"members": 1.0})
        for plugin in ("pgd", "nes"):
            for goal, worse in (("most_likely", 0.2), ("least_likely", 0.0)):
                made.add(model, seed, dataset, "asr", min(1, share + worse), plugin=plugin, norm="linf", params={**PGD, "goal": goal})
        for eps in (1, 2, 4, 8, 16, 255):
            params = {**PGD, "goal": "untargeted", "eps": eps / 255, "step_size": eps / 255 / 3}
            made.add(model, seed, dataset, "asr", 1 - (1 - share) ** (eps / 3), plugin="pgd", norm="linf", params=params)
        hard = np.random.default_rng(len(dataset)).random(300)
        outcomes = {
            "index": np.arange(300),
            "label": np.arange(300) % 10,
            "eligible": made.rng.random(300) < 0.995,
            "errored": np.zeros(300, bool),
            "success": 0.7 * hard + 0.3 * made.rng.random(300) < share - 0.2,
        }
        params = {**PGD, "eps": 4 / 255}
        made.add(model, seed, dataset, "asr", share - 0.2, plugin="pgd", norm="linf", params=params, outcomes=outcomes)
        for rate in (0.1, 0.2, 0.4):
            more = {"treatment": " + label_flip", "run": f"flip{rate}", "experiment": "label_flip", "access": "training"}
            made.add(model, seed, dataset, "cad", rate * (1.1 - share), plugin="labelflip", params={"rate": rate, "clean": "x"}, **more)
        for neurons in (1, 2, 4, 8):
            more = {"treatment": " + trojannn", "run": f"troj{neurons}", "experiment": "trojannn", "access": "training"}
            params = {"n_neurons": neurons, "neurons": "lowest_mean", "share": 1 / 96}
            made.add(model, seed, dataset, "asr", min(1, share + 0.05 * neurons), plugin="trojannn", params=params, **more)
            made.add(model, seed, dataset, "cad", 0.01 * neurons * share, plugin="trojannn", params=params, **more)
        member = np.arange(200) < 100
        score = made.rng.normal(0.3 * share * member, 1)
        outcomes = {
            "index": np.arange(200),
            "member": member,
            "score": score,
            "eligible": np.ones(200, bool),
            "errored": np.zeros(200, bool),
        }
        more = {"plugin": "hopskipjumpdistance", "params": {"steps": 50}, "outcomes": outcomes, "access": "label", "norm": "l2"}
        made.add(model, seed, dataset, "auc", 0.5 + 0.1 * share, **more)
        for budget in (1000, 2000, 4000, 8000):
            theft(made, model, model, seed, dataset, 2 - share - budget / 1e4, budget)
    for victim in made.models[:4]:
        for replica in made.models[:4]:
            if victim != replica:
                theft(made, victim, replica, 0, made.datasets[0], 1.2, 8000)
    return made


def theft(made: Made, victim: str, replica: str, seed: int, dataset: str, ace: float, budget: int) -> None:
    """A replica of a victim of the same seed."""
    name = f"{FAMILY[victim][0]}{victim}{seed}{dataset}".lower().replace("_", "")
    more = {
        "treatment": " + knockoff",
        "run": f"of{victim}{budget}",
        "experiment": "knockoff",
        "access": "training",
        "ci": (ace - 0.1, ace + 0.1),
    }
    params = {"victim": "digest", "budget": budget, "strategy": "adaptive", "answers": "score", "pool": "train"}
    place = made.add(replica, seed, dataset, "ace", ace, plugin="knockoff", params=params, **more)
    made.victims[place] = name
