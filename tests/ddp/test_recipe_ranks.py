"""Two ranks equal one process: manual families, with every option of the recipe; and a NaN on one of two ranks."""

import os

import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy

import robnas
from ranks import run_on_ranks
from robnas.errors import UserError
from robnas.runtime.checkpoint_io import read
from robnas.tasks.classifier import Classifier
from small_classifier import digits, trainer

FAMILIES = {
    "densenet": {"growth": 4},
    "dla": {"width": 2},
    "wide_resnet": {"depth": 10, "factor": 1, "width": 8},
    "bit": {"width": 8},
}
RECIPE = {"ema": 0.8, "warmup_epochs": 1, "initialisation": "kaiming", "gradient_clip": 0.5, "label_smoothing": 0.1}


def strategy(ranks):
    return DDPStrategy(process_group_backend="gloo", cluster_environment=LightningEnvironment()) if ranks > 1 else "auto"


def fit(folder, name, ranks=1):
    """Two epochs of three steps in float64 → the state, what was logged, the file of members."""
    t = trainer(
        folder, devices=ranks, strategy=strategy(ranks), precision="64-true", max_epochs=2, limit_train_batches=3, limit_val_batches=2
    )
    task = Classifier(name, "tiny", FAMILIES[name], **RECIPE)
    t.fit(task, digits(augment=False, members=0.5))
    logged = {key: float(value) for key, value in t.callback_metrics.items()}
    found = robnas.membership(folder).member
    return {key: tensor.clone() for key, tensor in task.state_dict().items()}, logged, found


def on_two_ranks(rank: int, folder: str):
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    return [fit(f"{folder}/{name}", name, ranks=2) for name in FAMILIES]


@pytest.mark.slow
def test_two_ranks_equal_one_process_in_every_family(tmp_path):
    first, second = run_on_ranks(on_two_ranks, 2, str(tmp_path), timeout=300)
    for i, name in enumerate(FAMILIES):
        state, logged, members = fit(str(tmp_path / "one" / name), name)
        for also_state, also_logged, also_members in (first[i], second[i]):
            assert max(float((state[key] - also_state[key]).abs().max()) for key in state) < 1e-10, name
            assert also_logged == pytest.approx(logged, abs=1e-6), name
            assert (also_members == members).all()


def broken_on_one_rank(rank: int, folder: str):
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}

    class Breaks(Classifier):
        def objective(self, batch):
            total, loss, logits = super().objective(batch)
            return (total * torch.nan if self.global_step == 4 and self.global_rank == 1 else total), loss, logits

    t = trainer(
        folder, devices=2, strategy=strategy(2), max_epochs=3, limit_train_batches=3, limit_val_batches=2, enable_checkpointing=True
    )
    try:
        t.fit(Breaks("bit", "tiny", FAMILIES["bit"], ema=0.8), digits())
    except UserError as error:
        return str(error)
    return "went through"


@pytest.mark.slow
def test_a_nan_on_one_rank_stops_both_and_the_last_good_checkpoint_is_kept(tmp_path):
    said = run_on_ranks(broken_on_one_rank, 2, str(tmp_path))
    assert all(text.startswith("the loss is not finite at step 4 (epoch 1)") for text in said), said
    kept = read(tmp_path / "checkpoints" / "last.ckpt")
    assert kept["global_step"] == 3
    assert all(value.isfinite().all() for part in ("state_dict", "current_model_state") for value in kept[part].values())
