"""Two ranks with half the batch each against one process: the same trigger, the same stamps, the same weights and numbers."""

import os

import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy

from ranks import run_on_ranks
from robnas.attacks.backdoor import BadNets, CleanLabel, TrojanNN
from robnas.attacks.backdoor.trigger import FILE
from robnas.attacks.defences.fine_pruning import FinePruning
from robnas.attacks.poisoning import Record
from robnas.results import Rows
from robnas.runtime.final_test import final_test
from robnas.tasks import Classifier
from small_backdoor import clean
from small_poisoned import SMALL, colours, fit


def both(folder: str, start: str, ranks: int = 1):
    """A trojan and its mending, a patch, and a patch under clean labels, two epochs each in float64 → states, rows without what names the
    weights."""
    found = []
    for name, callback, begin in (
        ("trojan", TrojanNN(target=1, share=0.2, observed=32, pictures=False), start),
        ("mended", FinePruning(share=0.4), f"{folder}/trojan"),
        ("patched", BadNets(target=1, share=0.2, clean=start, pictures=False), None),
        ("honest", CleanLabel(target=1, share=0.1, steps=2, against=start, clean="none", pictures=False), None),
    ):
        strategy = DDPStrategy(process_group_backend="gloo", cluster_environment=LightningEnvironment()) if ranks > 1 else "auto"
        settings = {"devices": ranks, "strategy": strategy, "precision": "64-true", "max_epochs": 2}
        model = Classifier(**SMALL, learning_rate=0.05, init_from=begin)
        trainer, model, data = fit(f"{folder}/{name}", callback, data=colours(), model=model, **settings)
        final_test(trainer, model, data)
        found.append({k: v.clone() for k, v in model.state_dict().items()})
        found.append({row.metric: (row.value, row.n) for row in callback.rows})
    return found


def on_two_ranks(rank: int, folder: str, start: str):
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    return both(folder, start, ranks=2)


@pytest.mark.slow
def test_two_ranks_equal_one_process(tmp_path):
    start = str(clean())
    alone = both(str(tmp_path / "one"), start)
    for theirs in run_on_ranks(on_two_ranks, 2, str(tmp_path / "two"), start):
        for mine, other in zip(alone[::2], theirs[::2], strict=True):
            assert max(float((mine[name].double() - other[name].double()).abs().max()) for name in mine) < 1e-9
        for mine, other in zip(alone[1::2], theirs[1::2], strict=True):
            assert mine.keys() == other.keys()
            assert all(other[key] == pytest.approx(mine[key]) for key in mine)
    one, two = tmp_path / "one", tmp_path / "two"
    for name in ("trojan", "patched", "honest"):
        assert (one / name / FILE).read_bytes() == (two / name / FILE).read_bytes()
        assert Record.read(one / name).digest == Record.read(two / name).digest
    metrics = [[row.metric for row in Rows(folder / "trojan" / "results.jsonl").read()] for folder in (one, two)]
    assert metrics[0] == metrics[1]  # once
    assert torch.load(two / "mended" / "checkpoints" / "last.ckpt", weights_only=True)["hyper_parameters"]["defended"]
