"""What a poisoned run is held against: the same training, clean (Eq. 11)."""

from pathlib import Path
from typing import Any

import yaml

from robnas import provenance
from robnas.attacks.callback import Number
from robnas.attacks.training import FinalTest
from robnas.errors import UserError, require
from robnas.results import Rows

TRAIN, NONE = "train", "none"
OF = " + "
"""How rows call a model whose training was attacked or defended, or that of the weights it began with: "resnet + badnets"."""


def check(clean: str, dataset: str | None = None) -> None:
    """Before anything is trained. dataset: the name of this fit's data.

    Raises UserError where a run is named that has no final test, is of other data, was attacked itself, or started from weights that were.
    """
    if clean in (TRAIN, NONE):
        return
    require(Path(clean).is_dir(), f"clean: {clean!r} is neither {TRAIN!r} (the clean twin) nor {NONE!r} nor a run folder")
    FinalTest.of_run(clean)
    rows = Rows(Path(clean) / "results.jsonl").read()
    theirs = {row.dataset for row in rows if row.kind == "train" and row.metric == "accuracy"}
    require(dataset is None or dataset in theirs, f"clean: {clean} was tested on {', '.join(map(str, theirs))}, this fit on {dataset}")
    if any(row.access == "training" or OF in str(row.model) for row in rows):
        raise UserError(f"clean: the training of {clean} was itself attacked or defended")


def drop(trainer: Any, clean: str, tested: FinalTest) -> tuple[Number | None, FinalTest | None]:
    """CAD against the clean twin, or against a run that is named; (None, None) if nothing is to be compared.

    Flags say where a named run is not of this run's data, model, seed or number of epochs: then more than the poison differs.
    """
    if clean == NONE:
        return None, None
    before = FinalTest.of_run(trainer.clean_twin() if clean == TRAIN else clean)
    apart = () if clean == TRAIN else differences(trainer, Path(clean))
    return tested.drop_from(before)._replace(flags=apart), before


def differences(trainer: Any, folder: Path) -> tuple[str, ...]:
    """("other train_seed", …)"""
    mine = provenance.of_trainer(trainer)[1] | {"epochs": trainer.max_epochs}
    mine["model"] = str(mine["model"]).partition(OF)[0]  # that its own training was attacked is what is measured
    theirs = next(vars(row) for row in Rows(folder / "results.jsonl").read() if row.kind == "train" and row.metric == "accuracy")
    theirs = {**theirs, "epochs": _epochs(folder)}
    return tuple(f"other {key}" for key in ("dataset", "model", "train_seed", "epochs") if theirs[key] != mine.get(key))


def _epochs(folder: Path) -> Any:
    try:
        return yaml.safe_load((folder / "config.yaml").read_text("utf-8"))["trainer"]["max_epochs"]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return None
