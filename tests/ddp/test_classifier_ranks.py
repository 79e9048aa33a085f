"""Two ranks with half the batch each against one process with all of it: the same weights, and the same row at the end."""

import os
from dataclasses import asdict

import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy

from ranks import run_on_ranks
from robnas.results import Rows
from robnas.runtime.final_test import final_test
from small_classifier import classifier, digits, trainer

CASES = [True, False]  # batch norm across ranks


def fit(folder: str, across: bool, ranks: int = 1):
    """Six steps with an auxiliary head, clipped at every one, in float64 → the state, what was logged, the row of the test."""
    strategy = DDPStrategy(process_group_backend="gloo", cluster_environment=LightningEnvironment()) if ranks > 1 else "auto"
    t = trainer(folder, devices=ranks, strategy=strategy, precision="64-true", limit_train_batches=6)
    task = classifier(options={"auxiliary": True}, gradient_clip=0.5, label_smoothing=0.1, batch_norm_across_ranks=across)
    data = digits(augment=False)
    t.fit(task, data)
    assert t.global_step == 6
    logged = {name: float(value) for name, value in t.callback_metrics.items()}
    return {name: tensor.clone() for name, tensor in task.state_dict().items()}, logged, asdict(final_test(t, task, data))


def on_two_ranks(rank: int, folder: str):
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    return [fit(f"{folder}/{across}", across, ranks=2) for across in CASES]


def distance(a, b):
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.mark.slow
def test_two_ranks_equal_one_process(tmp_path):
    one, logged, row = fit(str(tmp_path / "one"), True)
    first, second = run_on_ranks(on_two_ranks, 2, str(tmp_path))
    for state, also_logged, also_row in (first[0], second[0]):
        assert distance(one, state) < 1e-10
        assert also_logged == pytest.approx(logged, abs=1e-6)  # metrics are sums in float32
        of_these_bits = {"victim": None, "outcomes": None}  # the file of outcomes is named by the victim, too
        assert also_row | of_these_bits == row | of_these_bits
    assert first[0][2]["victim"] == second[0][2]["victim"]
    assert [row.metric for row in Rows(tmp_path / "True" / "results.jsonl").read()] == ["accuracy", "parameters", "flops"]  # once
    assert distance({name: t for name, t in one.items() if "weight" in name}, first[1][0]) > 1e-6  # without BN across ranks they differ
    assert not any(torch.isnan(t).any() for t in one.values())
