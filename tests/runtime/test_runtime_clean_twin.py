"""The same training without the attack: what its job is told."""

from types import SimpleNamespace

import pytest
import yaml

from robnas.errors import UserError
from robnas.runtime.clean_twin import clean_twin


def trainer(folder, config):
    asked = []

    def jobs(commands, workers):
        asked.extend(commands)
        return [folder / "twin"]

    return SimpleNamespace(default_root_dir=str(folder), config=config, jobs=jobs), asked


def test_the_job_is_the_run_without_its_attack_on_one_device(tmp_path):
    its = {"devices": 2, "num_nodes": 2, "strategy": "ddp_spawn", "accelerator": "cpu", "max_epochs": 3, "precision": "64-true"}
    config = {"experiment": "flip", "seed_everything": 4, "model": {"class_path": "Classifier"}, "trainer": its}
    done = {"attacks": {"flip": 1}, "defences": {"filter": 1}, "ckpt_path": "last", "overwrite": True, "wandb": "online"}
    it, asked = trainer(tmp_path, config | done)
    assert clean_twin(it) == tmp_path / "twin"
    file = tmp_path / "children" / "clean.yaml"
    assert asked == [["fit", "--config", str(file)]]
    told = yaml.safe_load(file.read_text("utf-8"))
    assert told.pop("trainer") == {"accelerator": "cpu", "max_epochs": 3, "precision": "64-true", "devices": 1}
    assert told == {"experiment": "flip-clean", "seed_everything": 4, "model": {"class_path": "Classifier"}, "wandb": "off"}
    assert it.config["trainer"] is its  # the run's own stays as it was
    assert its["devices"] == 2


def test_without_a_configuration_there_is_none(tmp_path):
    with pytest.raises(UserError, match="trained by `robnas fit` alone"):
        clean_twin(trainer(tmp_path, {})[0])
