"""Trained children: what is run, what is read, what is said where it fails."""

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import yaml

from robnas.errors import UserError
from robnas.identity import identity_of
from robnas.search.evaluator import Evaluator, Scene
from robnas.search.trained_child import TrainedChild, last_accuracy
from robnas.space.genotype import Genotype
from robnas.space.percentile import random_cell
from robnas.space.search_space import Space

CONFIG = {
    "experiment": "evolution",
    "seed_everything": 7,
    "protocol": "sound",
    "data": {"class_path": "robnas.data.digits.Digits", "init_args": {"batch_size": 32, "validation": 0.2, "seed": None}},
    "trainer": {"accelerator": "cpu", "devices": 2, "strategy": "ddp", "max_epochs": 50, "precision": "64-true", "deterministic": None},
}


def genotypes(n, seed=0):
    random, space = Random(seed), Space()
    return [Genotype(random_cell(space, random), random_cell(space, random)) for _ in range(n)]


class Fake:
    """Writes the metrics that a training would leave; a child whose number is in `failing` fails."""

    def __init__(self, folder, failing=()):
        self.folder, self.failing, self.configs, self.calls, self.workers = folder, failing, [], [], None

    def __call__(self, commands, workers=None):
        self.calls.append([list(argv) for argv in commands])
        self.workers = workers
        out = []
        for argv in commands:
            assert argv[:2] == ["fit", "--config"]
            self.configs.append(yaml.safe_load(Path(argv[2]).read_text()))
            n = len(self.configs) - 1
            folder = self.folder / f"job{n}"
            (folder / "checkpoints").mkdir(parents=True)
            (folder / "checkpoints" / "last.ckpt").touch()
            (folder / "metrics.csv").write_text(f"step,epoch,valid/accuracy\n5,0,0.9\n10,1,0.{n + 1}\n12,1,\n")
            out.append(None if n in self.failing else folder)
        return out


def scene(tmp_path, runner, **changes):
    return Scene(x=None, y=None, space=Space(), data={}, seed=7, folder=tmp_path / "run", jobs=runner, config=CONFIG | changes)


def test_a_score_is_the_accuracy_of_the_last_epoch(tmp_path):
    runner = Fake(tmp_path)
    assert TrainedChild(workers=3).scores(genotypes(3), scene(tmp_path, runner)) == [0.1, 0.2, 0.3]
    assert runner.workers == 3


def test_a_child_has_the_searchs_data_and_seed_and_settings_of_its_own(tmp_path):
    runner = Fake(tmp_path)
    (genotype,) = genotypes(1)
    child = TrainedChild(epochs=5, layers=6, init_channels=12, recipe={"label_smoothing": 0.1}, trainer={"limit_train_batches": 2})
    child.scores([genotype], scene(tmp_path, runner, runs="elsewhere"))
    (config,) = runner.configs
    assert config["data"] == CONFIG["data"]
    assert (config["seed_everything"], config["protocol"], config["wandb"]) == (7, "sound", "off")
    assert (config["experiment"], config["runs"]) == ("evolution-children", "elsewhere")
    arguments = config["model"]["init_args"]
    assert Genotype.from_yaml(arguments["network"]) == genotype
    assert arguments["options"] == {"layers": 6, "init_channels": 12}
    assert (arguments["learning_rate"], arguments["label_smoothing"]) == (0.025, 0.1)
    own = {"devices": 1, "max_epochs": 5, "limit_test_batches": 0, "limit_train_batches": 2}
    assert config["trainer"] == {"accelerator": "cpu", "precision": "64-true", **own}


def test_equal_architectures_are_one_job_and_others_are_others(tmp_path):
    runner = Fake(tmp_path)
    first, second = genotypes(2)
    turned = Genotype.from_dict({kind: {**cell, "nodes": [e[::-1] for e in cell["nodes"]]} for kind, cell in first.to_dict().items()})
    assert turned.to_dict() != first.to_dict()
    TrainedChild().scores([first, turned, second], scene(tmp_path, runner))
    TrainedChild(epochs=21).scores([first], scene(tmp_path, runner))
    TrainedChild(workers=1).scores([first], scene(tmp_path, runner, seed_everything=8))
    TrainedChild(workers=2).scores([first], scene(tmp_path, runner, runs="elsewhere"))
    (a, b, c), (d,), (e,), (f,) = runner.calls
    assert a == b == f
    assert len({a[2], c[2], d[2], e[2]}) == 4


@pytest.mark.parametrize("keep", [False, True])
def test_weights_are_kept_where_they_are_wanted(tmp_path, keep):
    TrainedChild(keep_weights=keep).scores(genotypes(1), scene(tmp_path, Fake(tmp_path)))
    assert (tmp_path / "job0" / "checkpoints" / "last.ckpt").exists() == keep
    assert (tmp_path / "job0" / "metrics.csv").exists()


def test_a_child_that_fails_has_no_score(tmp_path):
    runner = Fake(tmp_path, failing={1})
    assert TrainedChild().scores(genotypes(3), scene(tmp_path, runner)) == [0.1, None, 0.3]


def test_that_every_child_fails_is_an_error_unless_the_run_has_scored_before(tmp_path):
    """Whichever process of the run that was."""
    child, broken = TrainedChild(), Fake(tmp_path, failing={0, 1, 2, 3})
    with pytest.raises(UserError, match=r"no child could be trained: the logs in .*children"):
        child.scores(genotypes(2), scene(tmp_path, broken))
    assert child.scores(genotypes(2), replace(scene(tmp_path, broken), scored=1)) == [None, None]
    (tmp_path / "second").mkdir()
    child.scores(genotypes(1), scene(tmp_path, Fake(tmp_path / "second")))
    with pytest.raises(UserError, match="no child could be trained"):  # the object itself remembers nothing
        child.scores(genotypes(1), scene(tmp_path, Fake(tmp_path / "third", failing={0})))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"jobs": None}, "robnas's own Trainer"),
        ({"config": {}}, "configuration of the run"),
        ({"config": CONFIG | {"data": {"class_path": "Digits", "init_args": {"validation": 0}}}}, r"data\.validation: 0 leaves nothing"),
    ],
)
def test_what_a_scene_lacks_is_said(tmp_path, changes, said):
    given = {"jobs": Fake(tmp_path), "config": CONFIG} | changes
    with pytest.raises(UserError, match=said):
        TrainedChild().scores(genotypes(1), Scene(x=None, y=None, space=Space(), data={}, seed=0, folder=tmp_path, **given))


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"layers": 0}, {"init_channels": 0}, {"learning_rate": 0.0}, {"workers": 0}])
def test_wrong_values_are_named(wrong):
    (name,) = wrong
    with pytest.raises(UserError, match=f"^{name}: 0"):
        TrainedChild(**wrong)


def test_a_training_without_validation_is_an_error(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,epoch,train/loss\n1,0,2.3\n")
    with pytest.raises(UserError, match="no valid/accuracy"):
        last_accuracy(tmp_path)


def test_it_is_made_again_from_plain_values():
    again = Evaluator.of(json.loads(json.dumps(TrainedChild(epochs=3, trainer={"max_steps": 2}).to_config())))
    assert (again.epochs, again.trainer, again.shares_weights) == (3, {"max_steps": 2}, False)


def test_how_many_at_a_time_is_not_part_of_a_search():
    def search(**arguments):
        return {"model": {"class_path": "SampledSearch", "init_args": {"evaluator": {"class_path": "x", "init_args": arguments}}}}

    assert identity_of(search(workers=1)) == identity_of(search(workers=2)) == identity_of(search())
    assert identity_of(search(epochs=1)) != identity_of(search(epochs=2))
