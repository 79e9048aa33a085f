"""Adversarial training on two ranks with half the batch each against one process with all of it."""

import os
from pathlib import Path

import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy

from ranks import run_on_ranks
from robnas.attacks import PGD
from robnas.checkpoint_file import read
from robnas.tasks.adversarial import AdversarialClassifier
from small_classifier import classifier, digits, trainer

METHODS = ("pgd", "trades", "free", "fast")


def fit(folder: str, method: str, ranks: int = 1):
    """Three steps and a validation whose last batch is shorter, in float64 → the state, what was logged, the perturbation that is kept."""
    strategy = DDPStrategy(process_group_backend="gloo", cluster_environment=LightningEnvironment()) if ranks > 1 else "auto"
    epochs = {"max_epochs": 2 if method == "free" else 1}
    t = trainer(folder, devices=ranks, strategy=strategy, precision="64-true", limit_train_batches=3, **epochs)
    given = {"attack": PGD(steps=2, n_restarts=1)} if method in ("pgd", "trades") else {}
    measure = {"valid_attack": PGD(eps=1 / 255, steps=2, n_restarts=1), "valid_inputs": 135}
    task = classifier(AdversarialClassifier, method=method, replays=2, gradient_clip=0.5, **given, **measure)
    t.fit(task, digits(augment=False))
    t.save_checkpoint(f"{folder}/end.ckpt")
    logged = {name: float(value) for name, value in t.callback_metrics.items()}
    kept = read(Path(folder) / "end.ckpt")["adversarial"]["perturbation"] if t.is_global_zero else None
    return {name: tensor.clone() for name, tensor in task.state_dict().items()}, logged, kept


def on_two_ranks(rank: int, folder: str):
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    return [fit(f"{folder}/{method}", method, ranks=2) for method in METHODS]


@pytest.mark.slow
def test_two_ranks_equal_one_process(tmp_path):
    ranks = run_on_ranks(on_two_ranks, 2, str(tmp_path), timeout=240)
    for i, method in enumerate(METHODS):
        state, logged, kept = fit(str(tmp_path / f"one-{method}"), method)
        for also_state, also_logged, _ in (ranks[0][i], ranks[1][i]):
            assert max(float((state[name] - also_state[name]).abs().max()) for name in state) < 1e-9
            assert also_logged == pytest.approx(logged, abs=1e-6)
        assert 0 < logged["valid/robust_accuracy"] * 135 == pytest.approx(round(logged["valid/robust_accuracy"] * 135), abs=1e-3)
        assert (kept is None) == (ranks[0][i][2] is None) == (method != "free")
        if kept is not None:
            assert [len(share) for share in (*kept, *ranks[0][i][2])] == [32, 16, 16]
            assert torch.allclose(kept[0], torch.cat(ranks[0][i][2]), atol=1e-12)
