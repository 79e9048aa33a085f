"""An evaluation of a run splits the data as its training did, whatever the evaluation's own seed."""

from types import SimpleNamespace

import pytest
import torch

from robnas.data import Digits
from robnas.runtime import evaluated_config


@pytest.mark.parametrize("members_seed", [None, 7])
def test_the_members_of_a_run_are_found_again(tmp_path, monkeypatch, members_seed):
    arguments = {"batch_size": 32, "seed": None, "members": 0.5, "members_seed": members_seed}
    config = {"seed_everything": 3, "data": {"class_path": "robnas.data.digits.Digits", "init_args": arguments}}
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")
    trained = Digits(**arguments)
    monkeypatch.setenv("PL_GLOBAL_SEED", "11")  # the attack's
    run = SimpleNamespace(config=config, job=SimpleNamespace(root=tmp_path / "runs", facts={}), folder=tmp_path)
    again = Digits(**evaluated_config.base(run)["data"]["init_args"])
    assert all(torch.equal(a, b) for a, b in zip(trained.parts(), again.parts(), strict=True))
    assert not torch.equal(trained.parts()[0], Digits(**arguments | {"members_seed": 12}).parts()[0])
