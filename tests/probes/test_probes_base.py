"""A trivial probe: at the hooks that it asks for, on the same inputs each time, changing nothing."""

import json
from io import StringIO
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from matplotlib.figure import Figure
from rich.console import Console
from torch import nn
from torch.nn.functional import cross_entropy

from robnas.data.digits import Digits
from robnas.errors import UserError
from robnas.probes import Measurement, Probe, summary
from robnas.results import Number, Rows
from robnas.runtime import wandb_logger

QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False, "accelerator": "cpu"}


class Brightness(Probe):
    """Mean pixel, share of right answers, and a picture."""

    def __init__(self, n_samples: int = 40, hooks: tuple[str, ...] = ("fit_start", "fit_end"), split: str = "train") -> None:
        self.n_samples, self.hooks, self.split, self.seen = n_samples, hooks, split, []

    def measure(self, model, x, y):
        self.seen.append((x, y, model.training))
        with torch.no_grad():
            model.weight += 1  # a copy: nobody notices
        picture = (255 * x[0]).permute(1, 2, 0).to(torch.uint8).numpy()
        return Measurement(brightness=float(x.mean()), bias=float(model.bias.abs().sum()), first=picture)


class Task(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(768, 10)), nn.Parameter(torch.zeros(10))

    def forward(self, x):
        return x.flatten(1) @ self.weight + self.bias

    def training_step(self, batch, _):
        return cross_entropy(self(batch.x), batch.y)

    def validation_step(self, batch, batch_idx):
        pass

    def test_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def trainer(folder, probe, **kwargs) -> Trainer:
    return Trainer(default_root_dir=folder, callbacks=[probe], max_epochs=2, limit_train_batches=2, limit_val_batches=0, **QUIET, **kwargs)


def test_in_fit(tmp_path):
    probe, task = Brightness(hooks=("fit_start", "epoch_end", "fit_end")), Task()
    trainer(tmp_path, probe).fit(task, Digits(batch_size=16))
    plain = Task()
    trainer(tmp_path / "plain", Brightness(hooks=())).fit(plain, Digits(batch_size=16))
    assert torch.equal(task.weight, plain.weight)
    x, y, training = probe.seen[0]
    assert x.shape == (40, 3, 16, 16)
    assert 0 <= x.min() < x.max() <= 1
    assert len(set(y.tolist())) > 5
    assert not training
    assert all(torch.equal(x, again) for again, _, _ in probe.seen[1:])  # the same inputs, and without augmentation
    rows = Rows(tmp_path / "results.jsonl").read()
    assert [r.params["at"] for r in rows[::2]] == ["fit_start", "epoch_0", "epoch_1", "fit_end"]
    assert [r.metric for r in rows[:2]] == ["brightness", "bias"]
    assert rows[0].value == pytest.approx(float(x.mean()))
    assert rows[1].value == 0
    assert rows[-1].value == pytest.approx(float(task.bias.detach().abs().sum()))
    assert (rows[0].kind, rows[0].plugin, rows[0].n, rows[0].dataset) == ("probe", "brightness", 40, Digits.name)
    assert (tmp_path / "figures" / "brightness-first-fit_end.png").stat().st_size > 0


def test_in_the_test_loop_in_inference_mode(tmp_path):
    probe = Brightness(n_samples=5000, split="test")
    trainer(tmp_path, probe, inference_mode=True).test(Task(), Digits(batch_size=16), verbose=False)
    assert [r.params["at"] for r in Rows(tmp_path / "results.jsonl").read()] == ["test", "test"]
    assert len(probe.seen[0][0]) == 360  # all there are


def test_a_picture_goes_to_wandb(tmp_path, monkeypatch):
    monkeypatch.setattr(wandb_logger.subprocess, "Popen", lambda *a, **k: SimpleNamespace(poll=lambda: None))
    monkeypatch.setattr(wandb_logger, "GRACE", 0.0)
    quiet = QUIET | {"logger": wandb_logger.Wandb(tmp_path / "a")}
    Trainer(default_root_dir=tmp_path, callbacks=[Brightness(split="test")], **quiet).test(Task(), Digits(batch_size=16), verbose=False)
    (events,) = (tmp_path / "a" / "wandb").glob("events-*.jsonl")
    pictures = [event for event in map(json.loads, events.read_text().splitlines()) if event.get("kind") == "images"]
    assert [event["key"] for event in pictures] == ["brightness-first-test"]
    assert pictures[0]["paths"] == [str(tmp_path / "figures" / "brightness-first-test.png")]


def test_a_run_that_goes_on_does_not_look_at_its_start_again():
    probe = Brightness()
    probe.on_train_start(SimpleNamespace(global_step=5, is_global_zero=True), Task())
    assert not probe.seen


@pytest.mark.parametrize(
    ("probe", "says"),
    [(Brightness(split="trian"), "'train'"), (Brightness(hooks=("start",)), "fit_start"), (Brightness(n_samples=0), "n_samples: 0")],
)
def test_wrong_settings_are_named_before_anything_runs(tmp_path, probe, says):
    with pytest.raises(UserError, match=says):
        trainer(tmp_path, probe).test(Task(), Digits(batch_size=16), verbose=False)
    assert not probe.seen


def test_a_picture_is_rgb():
    with pytest.raises(ValueError, match="uint8"):
        Measurement(picture=np.zeros((2, 2), np.uint8))


class Everything(Probe):
    n_samples, hooks = 30, ("fit_end",)

    def measure(self, model, x, y):
        drawn = torch.rand(2)
        figure = Figure(figsize=(1, 1))
        figure.subplots().plot([0, 1])
        interval = Number(0.5, 7, (0.25, 0.75), "student", ("doubtful",))
        none = Number(None, 0)
        return Measurement(plain=float(drawn[0]), sharpness=interval, none=none, grid=np.eye(2), more=drawn.numpy(), contour=figure)


def test_intervals_arrays_and_figures_are_kept_and_nothing_is_drawn_from_the_runs_randomness(tmp_path):
    before = torch.random.get_rng_state()
    probes = [Everything(), Everything()]
    for probe, name in zip(probes, "ab", strict=True):
        trainer(tmp_path / name, probe).test(Task(), Digits(batch_size=16), verbose=False)
    assert torch.equal(before, torch.random.get_rng_state())
    assert probes[0].rows[0].value == probes[1].rows[0].value  # seeded
    store = Rows(tmp_path / "a" / "results.jsonl")
    plain, sharpness, none = store.read()
    assert (plain.n, plain.ci) == (30, None)
    assert (sharpness.n, sharpness.ci, sharpness.ci_method, sharpness.flags) == (7, (0.25, 0.75), "student", ["doubtful"])
    assert none.value is None
    assert probes[0].rows[1] == sharpness
    arrays = store.read_outcomes(plain)
    assert arrays.keys() == {"grid", "more"}
    assert arrays["grid"].tolist() == [[1, 0], [0, 1]]
    svg = [(tmp_path / name / "figures" / "everything-contour-test.svg").read_bytes() for name in "ab"]
    assert svg[0] == svg[1]
    assert (tmp_path / "a" / "figures" / "everything-contour-test.png").stat().st_size > 0


def test_the_table_names_blocks_and_says_what_has_no_interval(tmp_path):
    probe = Everything()
    probe.name = "mine"
    trainer(tmp_path, probe).test(Task(), Digits(batch_size=16), verbose=False)
    cells = summary.lines([(probe.name, row) for row in probe.rows])
    assert [line[1:7] for line in cells[1:]] == [
        ["mine", "test", "sharpness", "0.5", "[0.25, 0.75]", "7"],
        ["mine", "test", "none", "none", "", "0"],
    ]
    console = Console(width=100, record=True, file=StringIO())
    summary.show([(probe.name, row) for row in probe.rows], console)
    assert "[0.25, 0.75]" in console.export_text()
    summary.show([], console)
    assert not console.export_text()
