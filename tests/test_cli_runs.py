"""fit, test and attack on a network so small that each takes a moment."""

import json
import shutil
import signal

import pytest
import yaml

from command_line import CLASSIFY, SEARCH, refused, robnas
from robnas import jobs
from robnas.data.base import ImageData
from robnas.results import Rows

ONE_ATTACK = "--attacks.one=pgd --attacks.one.max_inputs=20 --attacks.one.steps=2 --wandb=off --trainer.accelerator=cpu"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("runs of one command after another")


@pytest.fixture(autouse=True)
def there(place, monkeypatch):
    monkeypatch.chdir(place)


@pytest.fixture
def fitted(place, capsys):
    """The folder of the one training that all tests here look at."""
    if not (place / "runs" / "classify" / "latest").exists():
        assert robnas(f"fit {CLASSIFY}", capsys).status == 0
    return (place / "runs" / "classify" / "latest").resolve()


def test_fit_fills_its_folder_and_says_where_it_is(fitted, capsys):
    assert {"config.yaml", "job.json", "metrics.csv", "checkpoints"} <= {path.name for path in fitted.iterdir()}
    assert json.loads((fitted / "job.json").read_text())["state"] == "finished"
    said = robnas(f"fit {CLASSIFY}", capsys)
    assert said.status == 0
    assert "finished already" in said.out
    assert f"runs/classify/{fitted.name}" in said.out


def test_the_folder_holds_the_resolved_configuration(fitted):
    config = yaml.safe_load((fitted / "config.yaml").read_text())
    assert config["model"]["class_path"] == "robnas.tasks.classifier.Classifier"
    assert config["model"]["init_args"]["momentum"] == 0.9  # said by the config
    assert config["model"]["init_args"]["label_smoothing"] == 0.0  # said by nobody
    assert config["experiment"] == "classify"


def test_the_resolved_configuration_is_the_same_job(fitted, capsys):
    said = robnas(f"fit --config runs/classify/{fitted.name}/config.yaml", capsys)
    assert f"finished already: runs/classify/{fitted.name}" in said.out


def test_test_takes_a_run_folder_or_the_flags_of_fit(fitted, capsys):
    by_folder = robnas("test runs/classify/latest --trainer.accelerator=cpu --wandb=off", capsys)
    by_flags = robnas(f"test {CLASSIFY}", capsys)
    assert by_folder.status == by_flags.status == 0
    assert "test/accuracy" in by_folder.out
    assert by_folder.out == by_flags.out


def test_a_run_is_evaluated_on_its_own_split(capsys, monkeypatch):
    """The seed of an evaluation is the attack's; what was trained on must not be validated on."""
    splits, parts = [], ImageData.parts
    monkeypatch.setattr(ImageData, "parts", lambda self: splits.append(parts(self)) or splits[-1])
    assert robnas(f"fit {CLASSIFY} --seed_everything=1 --experiment=seeded", capsys).status == 0
    trained = splits[0][0]
    splits.clear()
    assert robnas("validate runs/seeded/latest --wandb=off --trainer.accelerator=cpu", capsys).status == 0
    assert splits
    assert all(train.equal(trained) for train, _ in splits)


@pytest.mark.parametrize("name", ["pdarts", "classify"])
def test_a_fast_dev_run_comes_to_its_end_and_leaves_nothing(name, capsys, place):
    """Of a search with stages and a warm-up too, which one epoch leaves out."""
    flags = f"--trainer.fast_dev_run=true --trainer.accelerator=cpu --wandb=off --experiment=dev_{name}"
    said = robnas(f"fit --config {name} --config digits {flags}", capsys)
    assert said.status == 0, said.err
    assert "no run folder stays" in said.out
    assert not (place / "runs" / f"dev_{name}").exists()


def test_latest_stays_where_a_fast_dev_run_was(fitted, capsys):
    for goes_on in ("", " --ckpt_path=runs/classify/latest/checkpoints/last.ckpt"):
        said = robnas(f"fit {CLASSIFY} --trainer.fast_dev_run=2{goes_on}", capsys)
        assert said.status == 0, said.err
        assert (fitted.parent / "latest").resolve() == fitted
        assert {path.name for path in fitted.parent.iterdir()} == {"latest", fitted.name}
    assert robnas(f"fit {CLASSIFY} --trainer.fast_dev_run=false", capsys).out.startswith("finished already")


def attacks_of(folder):
    return [row for row in Rows(folder / "results.jsonl").read() if row.kind == "attack"]


def test_attack_writes_rows_into_the_run_and_prints_one_table(fitted, capsys):
    said = robnas(f"attack runs/classify/latest runs/classify/{fitted.name} {ONE_ATTACK} --attacks.one.eps=4/255", capsys)
    assert said.status == 0, said.err
    assert said.out.count("Attacks on") == 1
    rows = attacks_of(fitted)
    assert {row.metric for row in rows} >= {"asr", "robust_accuracy"}
    assert {(row.job, row.model, row.family, row.dataset) for row in rows} == {(fitted.name, "darts", "nas", rows[0].dataset)}
    assert {row.params["eps"] for row in rows} == {4 / 255}


def test_a_run_that_was_copied_elsewhere_is_attacked_where_it_lies(fitted, capsys, place):
    shutil.copytree(fitted, place / "handed-on")
    said = robnas(f"attack handed-on {ONE_ATTACK} --attacks.one.eps=3/255", capsys)
    assert said.status == 0, said.err
    assert {row.params["eps"] for row in attacks_of(place / "handed-on")} >= {3 / 255}
    assert 3 / 255 not in {row.params["eps"] for row in attacks_of(fitted)}
    shutil.rmtree(place / "handed-on" / "checkpoints")
    assert "handed-on has no last checkpoint" in refused(f"attack handed-on {ONE_ATTACK}", capsys)
    shutil.rmtree(place / "handed-on")


def test_every_attack_knows_its_block(fitted, capsys):
    two = "--attacks.two=apgd --attacks.two.max_inputs=20 --attacks.two.steps=2"
    assert robnas(f"attack runs/classify/latest {ONE_ATTACK} {two}", capsys).status == 0
    plugins = {row.plugin for row in attacks_of(fitted)}
    assert plugins == {"pgd", "apgd"}
    columns = (fitted / "evaluation.csv").read_text().splitlines()[0]
    assert "one/robust_accuracy" in columns
    assert "two/robust_accuracy" in columns


def test_attack_a_model_of_a_config_with_a_checkpoint(fitted, capsys, place):
    said = robnas(f"attack {CLASSIFY} {ONE_ATTACK} --ckpt_path=runs/classify/latest/checkpoints/last.ckpt", capsys)
    assert said.status == 0, said.err
    (folder,) = {path.resolve() for path in (place / "runs" / "attack").iterdir()}
    here, there = (Rows(path / "results.jsonl").read()[0] for path in (folder, fitted))
    assert here.victim == there.victim
    assert (place / "runs" / "classify" / "latest").resolve() == fitted


def test_an_attack_in_a_file_of_the_current_folder(fitted, capsys, place):
    (place / "my_own_attack.py").write_text(
        "from robnas.attacks.base import Evasion\n"
        "class Nothing(Evasion):\n"
        "    def __init__(self, eps: float = 0.1) -> None:\n        super().__init__(eps=eps, steps=1)\n"
        "    def step(self, victim, s):\n        return s.x\n"
    )
    said = robnas(
        "attack runs/classify/latest --attacks.mine=my_own_attack.Nothing --attacks.mine.eps=1/4 --wandb=off --trainer.accelerator=cpu",
        capsys,
    )
    assert said.status == 0, said.err
    mine = [row for row in Rows(fitted / "results.jsonl").read() if row.plugin == "nothing"]
    assert {row.metric: row.value for row in mine}["asr"] == 0
    assert mine[0].params["eps"] == 0.25


def test_a_probe_in_a_file_of_the_current_folder(fitted, capsys, place):
    (place / "my_own_probe.py").write_text(
        "from robnas.probes.base import Measurement, Probe\n"
        "class Norm(Probe):\n"
        "    def __init__(self, n_samples: int = 20) -> None:\n        self.n_samples = n_samples\n"
        "    def measure(self, model, x, y):\n        return Measurement(inputs=len(x))\n"
    )
    said = robnas("probe runs/classify/latest --probes.size=my_own_probe.Norm --wandb=off --trainer.accelerator=cpu", capsys)
    assert said.status == 0, said.err
    (row,) = [row for row in Rows(fitted / "results.jsonl").read() if row.kind == "probe"]
    assert (row.plugin, row.metric.partition("@")[0].split("/")[0], row.value) == ("norm", "inputs", 20)


def test_a_run_is_evaluated_from_any_folder(fitted, capsys, tmp_path, monkeypatch):
    """Its config names a file of the folder it was started in."""
    config = yaml.safe_load((fitted / "config.yaml").read_text())
    (fitted.parents[2] / "cell.yaml").write_text(robnas("cell darts --out -", capsys).out)
    config["model"]["init_args"]["network"] = "cell.yaml"
    (fitted.parents[2] / "with_a_file.yaml").write_text(yaml.safe_dump(config))
    assert robnas("fit --config with_a_file.yaml --experiment=mine", capsys).status == 0
    monkeypatch.chdir(tmp_path)
    run = fitted.parents[1] / "mine" / "latest"
    said = robnas(f"test '{run}' --wandb=off --trainer.accelerator=cpu", capsys)
    assert said.status == 0, said.err


def test_a_run_is_evaluated_without_the_search_that_it_came_from(capsys, place, tmp_path, monkeypatch):
    search = jobs.Job("f" * 40, "searched", place / "runs")
    search.start()
    (search.folder / "genotype.yaml").write_text(robnas("cell darts --out -", capsys).out)
    (search.folder / "config.yaml").write_text("seed_everything: 5\nmodel: {class_path: robnas.tasks.Search}\n")
    assert robnas(f"fit {CLASSIFY} --model.network=runs/searched/{search.name} --experiment=of_a_search", capsys).status == 0
    shutil.rmtree(search.folder)
    run = (place / "runs" / "of_a_search" / "latest").resolve()
    monkeypatch.chdir(tmp_path)
    said = robnas(f"attack '{run}' {ONE_ATTACK}", capsys)
    assert said.status == 0, said.err
    assert {(row.model, row.family, row.search_seed, row.train_seed) for row in Rows(run / "results.jsonl").read()} == {
        ("searched-ffffff", "nas", 5, 0)
    }


def test_a_missing_checkpoint_and_one_of_another_architecture(fitted, capsys):
    refused("test runs/classify/latest --ckpt_path=nowhere.ckpt", capsys)
    line = refused(f"test {CLASSIFY} --model.options.layers=4 --ckpt_path=runs/classify/latest/checkpoints/last.ckpt", capsys)
    assert "another" in line


def test_a_fit_that_is_refused_leaves_nothing_behind(fitted, capsys, place):
    refused(f"fit {CLASSIFY} --trainer.max_epochs=0", capsys)
    assert (place / "runs" / "classify" / "latest").resolve() == fitted
    assert {path.name for path in fitted.parent.iterdir()} == {"latest", fitted.name}
    refused(f"fit {CLASSIFY} --trainer.max_epochs=0 --experiment=refused", capsys)
    assert not (place / "runs" / "refused").exists()


def test_an_interrupted_fit_says_how_to_go_on(capsys, place, monkeypatch):
    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(ImageData, "train_dataloader", interrupt)
    try:
        said = robnas(f"fit {CLASSIFY} --experiment=interrupted", capsys)
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning has it ignored
    assert said.status == 130
    assert "run folder: runs/interrupted/" in said.out
    assert said.out.splitlines()[0].endswith("  network: darts")
    assert said.err.endswith("interrupted: the same command with --ckpt_path last goes on\n")


def interrupt(data):
    raise KeyboardInterrupt


def test_a_search_is_not_attacked(capsys):
    line = refused(f"attack {SEARCH} {ONE_ATTACK}", capsys)
    assert "is a search: train its cell first: robnas fit --config classify.yaml --config digits.yaml --model.network=RUN" in line


def test_what_is_advised_for_a_search_names_its_folder_as_the_command_did(capsys, place):
    assert robnas(f"fit {SEARCH} --experiment=not_attacked --trainer.limit_val_batches=0", capsys).status == 0
    line = refused(f"attack runs/not_attacked/latest {ONE_ATTACK}", capsys)
    advice = "robnas fit --config classify.yaml --config digits.yaml --model.network=runs/not_attacked/latest"
    assert line == f"robnas: runs/not_attacked/latest is a search: train its cell first: {advice}\n"


def test_a_foreign_model_given_in_a_config(fitted, capsys, place):
    """A LightningModule of the user's own with weights of its own needs neither a run nor a checkpoint."""
    (place / "my_model_of_digits.py").write_text(
        "import torch\nfrom lightning.pytorch import LightningModule\nfrom torch import nn\n"
        "class Linear(LightningModule):\n"
        "    def __init__(self):\n        super().__init__()\n        torch.manual_seed(0)\n"
        "        self.network = nn.Sequential(nn.Flatten(), nn.Linear(768, 10))\n"
        "    def forward(self, x):\n        return self.network(x)\n"
        "    def test_step(self, batch, batch_idx):\n        pass\n"
    )
    said = robnas(f"attack --model=my_model_of_digits.Linear --config digits {ONE_ATTACK} --experiment=mine", capsys)
    assert said.status == 0, said.err
    assert "robust" in said.out
