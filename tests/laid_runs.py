"""Folders of runs, laid out as a study leaves them."""

import json
from collections.abc import Mapping
from pathlib import Path

from robnas.identity import identity_of
from robnas.results import Row, Rows


def lay(
    root: Path,
    model: str,
    asr: float,
    family: str = "nas",
    seed: int = 0,
    experiment: str = "classify",
    attacks: tuple[Mapping[str, object], ...] = ({"eps": 8 / 255, "goal": "untargeted"},),
    **more: object,
) -> Path:
    """A run folder with a training's row and one of PGD for each of its settings. more: what all rows have."""
    job = identity_of({"of": [model, seed]})[:12]
    folder = root / experiment / job
    same = {"job": job, "dataset": "Digits", "model": model, "family": family, "train_seed": seed, "protocol": "sound", **more}
    attack = {"kind": "attack", "plugin": "pgd", "access": "white", "attack_seed": 0}
    Rows(folder / "results.jsonl").write(
        [
            Row("accuracy", 0.98, n=100, ci=(0.93, 0.99), kind="train", plugin="accuracy", **same),
            *(Row("asr", asr, n=100, ci=(asr - 0.1, asr + 0.1), params=dict(params), **attack, **same) for params in attacks),
        ]
    )
    command = ["robnas", "fit", "--config", "classify.yaml", f"--model.network={model}"]
    (folder / "job.json").write_text(json.dumps({"identity": job + "0" * 28, "state": "finished", "command": command}))
    (folder / "config.yaml").write_text("scale: tiny\n")
    return folder
