"""`robnas export`, and an own model under `robnas attack`: the same weights give the same rows, however they come."""

import json
import shutil
import subprocess
import sys
import time

import pytest
import torch
import yaml
from safetensors.torch import save_file

import robnas as package
from command_line import refused, robnas
from robnas.results import Rows

QUIET = "--wandb=off --trainer.accelerator=cpu"
# In float64: how a sum is ordered (by batch, layout or folding) then changes no outcome.
ATTACK = (
    f"--trainer.precision=64-true --attacks.one=pgd --attacks.one.max_inputs=40 --attacks.one.steps=3 --attacks.one.n_restarts=2 {QUIET}"
)
FIT = f"fit --config classify --config digits --model.network=vgg --trainer.max_epochs=3 {QUIET}"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("own models")


@pytest.fixture(autouse=True)
def there(place, monkeypatch):
    monkeypatch.chdir(place)


@pytest.fixture
def run(place, capsys):
    """A classifier that knows something, and was attacked."""
    folder = place / "runs" / "classify" / "latest"
    if not folder.exists():
        assert robnas(FIT, capsys).status == 0
        assert robnas(f"attack runs/classify/latest {ATTACK}", capsys).status == 0
    return folder.resolve()


@pytest.fixture
def out(run, place, capsys):
    if not (place / "out").exists():
        said = robnas("export runs/classify/latest out", capsys)
        assert said.status == 0, said.err
        assert said.out == "out: model.safetensors, config.json, README.md\nnext: robnas attack out --config pgd.yaml\n"
    return place / "out"


def found(folder):
    """The rows of the last attack, less what says whose they are; and what happened to each input."""
    store = Rows(folder / "results.jsonl")
    rows = [row for row in store.read() if row.kind == "attack"]
    outcomes = store.read_outcomes(rows[0])
    return {r.metric: (r.value, r.n, r.ci, r.queries) for r in rows}, {k: repr(v.tolist()) for k, v in outcomes.items()}, rows[0]


def attacked(command, place, capsys):
    before = set((place / "runs" / "attack").glob("*/")) if (place / "runs" / "attack").exists() else set()
    said = robnas(f"attack {command} {ATTACK}", capsys)
    assert said.status == 0, said.err
    (folder,) = {p for p in (place / "runs" / "attack").glob("*/") if not p.is_symlink()} - before
    return found(folder), said.out


# Export, and back


def test_the_logits_are_the_same_bits(run, out):
    x = torch.rand(32, 3, 16, 16)
    assert torch.equal(package.load(out)(x), package.load(run)(x))


def test_the_card_says_what_was_measured(run, out):
    text = (out / "README.md").read_text()
    header = yaml.safe_load(text.split("---\n")[1])
    (accuracy,) = [row for row in Rows(run / "results.jsonl").read() if row.metric == "accuracy"]
    assert header["model-index"][0]["results"][0]["metrics"][0]["value"] == pytest.approx(accuracy.value, abs=1e-6)
    assert f"| test accuracy | {100 * accuracy.value:.1f}% |" in text
    assert "robust accuracy under pgd" in text
    assert f"classify/{run.name}" in text
    assert str(run.parents[2]) not in text + (out / "config.json").read_text()  # nothing of this machine


def test_rows_of_other_weights_are_left_out(run, out, place, capsys):
    """Such as those of the best checkpoint, where the last is exported."""
    content = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    content["state_dict"]["model.normalize.mean"] += 0.001
    (run / "checkpoints" / "best.ckpt").unlink()  # may be one file with the last
    torch.save(content, run / "checkpoints" / "best.ckpt")
    assert robnas("export runs/classify/latest best --checkpoint best", capsys).status == 0
    assert "Nothing was measured of these weights." in (place / "best" / "README.md").read_text()
    assert package.load(place / "best").normalize.mean[0] != package.load(out).normalize.mean[0]


def test_attacking_the_export_finds_what_attacking_the_run_found(run, out, place, capsys):
    (rows, outcomes, row), said = attacked("out", place, capsys)
    expected, each, of_run = found(run)
    assert rows == expected
    assert outcomes == each
    assert 0 < expected["asr"][0] <= 1
    assert (row.model, row.family, row.victim, row.dataset) == (of_run.model, of_run.family, of_run.victim, of_run.dataset)
    assert said.startswith("model: out/model.safetensors")
    again = robnas(f"attack out {ATTACK}", capsys)  # into the same folder
    assert again.status == 0
    assert len([r for r in Rows(next((place / "runs" / "attack").glob("*/results.jsonl"))).read() if r.metric == "asr"]) == 1


def test_an_export_is_refused_where_something_lies(run, place, capsys):
    (place / "mine").mkdir(exist_ok=True)
    (place / "mine" / "file").write_text("mine")
    assert "mine is not empty and is no export" in refused("export runs/classify/latest mine", capsys)
    assert "runs/nothing is no run folder" in refused("export runs/nothing new", capsys)
    assert "the following arguments are required: OUT" in refused("export runs/classify/latest", capsys)
    assert "invalid choice: 'bset'" in refused("export runs/classify/latest new --checkpoint bset", capsys)
    assert not (place / "new").exists()


def test_the_export_of_another_run_is_replaced_only_where_it_is_said(run, out, place, capsys, monkeypatch):
    shutil.copytree(out, place / "theirs before")
    config = place / "theirs before" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"run": "classify/ffffffffffff"}))
    assert "is the export of 'classify/ffffffffffff': --overwrite" in refused("export runs/classify/latest 'theirs before'", capsys)
    assert robnas("export runs/classify/latest 'theirs before' --overwrite", capsys).status == 0
    assert json.loads(config.read_text())["run"] == f"classify/{run.name}"
    (place / "here").mkdir()
    run_folder = str(run)
    monkeypatch.chdir(place / "here")
    assert robnas(f"export '{run_folder}' .", capsys).status == 0
    assert "robnas.load('here')" in (place / "here" / "README.md").read_text()


def test_help_needs_no_torch(tmp_path):
    code = "import sys; from robnas.__main__ import main\ntry: main(['export', '--help'])\nfinally: print('torch' in sys.modules)"
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert "model.safetensors" in done.stdout
    assert time.perf_counter() - begin < 5  # 0.2 s on an idle core


def test_a_data_class_that_an_export_names_is_not_imported_unless_it_is_ours(out, place, capsys):
    """config.json comes from elsewhere; it must not say which module is run."""
    content = json.loads((out / "config.json").read_text())
    (place / "hostile_data.py").write_text("from pathlib import Path\nPath('broken_in').touch()\n")
    theirs = place / "theirs"
    theirs.mkdir(exist_ok=True)
    (theirs / "model.safetensors").write_bytes((out / "model.safetensors").read_bytes())
    (theirs / "config.json").write_text(json.dumps(content | {"data": {"class_path": "hostile_data.Data"}}))
    robnas(f"attack theirs {ATTACK} --config digits", capsys)
    refused(f"attack theirs {ATTACK}", capsys)
    assert not (place / "broken_in").exists()


# Own models on the command line


@pytest.fixture
def network(run, place):
    """The run's network as a stranger has it: code, weights, TorchScript."""
    model = package.load(run)
    (place / "net.py").write_text(
        "from robnas.models.build import build, describe\n"
        "def vgg():\n    return build(describe('vgg'), num_classes=10, image_shape=(3, 16, 16), size='tiny')\n"
    )
    if not (place / "net.pt").exists():
        save_file({k: v.contiguous() for k, v in model.network.state_dict().items()}, place / "net.safetensors")
        torch.save({"state_dict": {f"module.{k}": v for k, v in model.network.state_dict().items()}}, place / "net.pth")
        torch.jit.trace(model.network, torch.rand(2, 3, 16, 16)).save(place / "net.pt")
    means = ",".join(map(str, model.normalize.mean.flatten().tolist()))
    stds = ",".join(map(str, model.normalize.std.flatten().tolist()))
    return f"--model.mean=[{means}] --model.std=[{stds}]"


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
@pytest.mark.parametrize("source", ["net.py:vgg --model.weights=net.safetensors", "net.py:vgg --model.weights=net.pth", "net.pt"])
def test_an_own_model_is_attacked_as_the_run_with_its_weights(source, run, network, place, capsys):
    (rows, outcomes, row), said = attacked(f"--config own_model --config digits --model.source={source} {network}", place, capsys)
    expected, each, _ = found(run)
    assert outcomes["success"] == each["success"]
    assert outcomes["correct"] == each["correct"]
    assert rows["asr"] == expected["asr"]
    assert (row.family, row.model, row.train_seed) == ("custom", "net" if source == "net.pt" else "vgg", None)
    assert "class 9: '9'" in said
    assert "clean accuracy" in said


def test_an_own_model_is_tested_validated_and_probed(run, network, place, capsys):
    own = f"--config own_model --config digits --model.source=net.py:vgg --model.weights=net.pth {network} {QUIET}"
    said = robnas(f"test {own}", capsys)
    assert said.status == 0, said.err
    assert "test/accuracy" in said.out
    assert said.out.startswith("model: net.py:vgg")
    assert robnas(f"validate {own}", capsys).status == 0
    (place / "own_probe.py").write_text(
        "from robnas.probes.base import Measurement, Probe\n"
        "class Norm(Probe):\n"
        "    def __init__(self, n_samples: int = 20) -> None:\n        self.n_samples = n_samples\n"
        "    def measure(self, model, x, y):\n        return Measurement(right=float((model(x).argmax(1) == y).float().mean()))\n"
    )
    said = robnas(f"probe {own} --probes.size=own_probe.Norm", capsys)
    assert said.status == 0, said.err


REFUSED = {
    "": "source: say which model",
    "--model.source=net.py:vg": "Did you mean 'vgg'?",
    "--model.source=net.py:vgg --model.weights=nets.pth": "Did you mean 'net.pth'?",
    "--model.source=timm:test_resnet": "the model has 1000 classes, Digits has 10",
    "--model.source=net.py:vgg": "the model is at chance",
    "--model.source=net.py:vgg --ckpt_path=net.pth": "ckpt_path",
    "--model.source=net.py:vgg --model.mean=[0.5]": "mean and std are given together",
    "--model.source=net.py:vgg --model.unsafe_pickl=true": "Did you mean 'unsafe_pickle'?",
}


@pytest.mark.parametrize("flags", REFUSED)
def test_what_is_wrong_is_one_line(flags, network, capsys):
    assert REFUSED[flags] in refused(f"attack --config own_model --config digits {flags} {ATTACK}", capsys)


def test_an_own_model_is_not_fitted(network, place, capsys):
    line = refused(f"fit --config own_model --config digits --model.source=net.py:vgg {QUIET} --experiment=never", capsys)
    assert "evaluated, not trained" in line
    assert not (place / "runs" / "never").exists()
