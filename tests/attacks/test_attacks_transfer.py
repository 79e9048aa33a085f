"""Transfer: by hand on linear models, against the white box, in the test loop, on the command line, on two ranks."""

import json
import os

import numpy as np
import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy
from rich.console import Console
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from command_line import refused, robnas
from ranks import run_on_ranks
from robnas.attacks import PGD, HopSkipJump, Transfer, across
from robnas.errors import UserError
from robnas.results import Row, Rows
from small_victims import Linear, images, trained

ONE_STEP = {"eps": 0.1, "step_size": 0.1, "steps": 1, "n_restarts": 1, "random_start": False}


class Constant(nn.Module):
    """Always class `label` of so many."""

    def __init__(self, label: int, classes: int = 10) -> None:
        super().__init__()
        self.label, self.classes = label, classes

    def forward(self, x):
        return torch.eye(self.classes, dtype=x.dtype)[self.label].expand(len(x), -1)


class Dark(nn.Module):
    """A model without numbers for bright images."""

    def __init__(self, model: nn.Module, least: float) -> None:
        super().__init__()
        self.model, self.least = model, least

    def forward(self, x):
        return self.model(x) + torch.where(x.flatten(1).mean(1) > self.least, torch.nan, 0.0)[:, None]


def other(seed: int = 1) -> nn.Module:
    """Another model of the same digits: the trained one with its first layer's weights disturbed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = __import__("copy").deepcopy(trained()[0])
        with torch.no_grad():
            model[0].weight += 0.1 * torch.randn_like(model[0].weight)
    return model.eval()


def count(r) -> tuple[int, int]:
    n = r.eligible & ~r.errored
    return int((r.success & n).sum()), int(n.sum())


def test_two_linear_models_by_hand():
    torch.manual_seed(0)
    w, v = torch.randn(2, 27, dtype=torch.float64)
    x = 0.2 + 0.6 * images(200, side=3)  # ε = 0.1 leaves all pixels inside
    z, u = x.flatten(1) @ w, x.flatten(1) @ v
    y = (z <= 0).long()
    found = Transfer(PGD(**ONE_STEP, exact=True))(Linear(w), x, y, targets={"v": Linear(v)})
    moved = u - torch.where(z > 0, 1.0, -1.0) * 0.1 * (v @ w.sign())  # every pixel a whole step against the label, of the source
    right = (u <= 0).long() == y
    broken = torch.where(y == 0, moved <= 0, moved >= 0)
    r = found["v"]
    assert torch.equal(r.eligible, right)
    assert torch.equal(r.success, broken)
    assert 0 < count(r)[0] < count(r)[1] < 200
    assert torch.equal(r.source_success, z.abs() <= 0.1 * w.abs().sum())


@pytest.mark.parametrize(
    "attack",
    [PGD(6 / 255, steps=4, n_restarts=2), PGD(12 / 255, goal="most_likely"), HopSkipJump(steps=1)],
    ids=["untargeted", "most_likely", "labels"],
)
def test_on_itself_it_is_the_white_box(attack):
    model, x, y = trained()
    x, y = x[:40], y[:40]
    twin = __import__("copy").deepcopy(model)
    found = Transfer(attack)(model, x, y, targets={"twin": twin, "same": model})
    alone = attack(model, x, y)
    for r in found.values():
        for name in ("success", "eligible", "errored", "correct", "prediction", "queries"):
            assert torch.equal(getattr(r, name), getattr(alone, name)), name
    assert torch.equal(found.source.success, alone.success)


def test_what_is_judged_of_equal_weights_is_the_white_box_too(monkeypatch):
    """Without the short way."""
    model, x, y = trained()
    attack = PGD(6 / 255, steps=4, n_restarts=2)
    monkeypatch.setattr("robnas.attacks.transfer.same_network", lambda a, b: False)
    r = Transfer(attack)(model, x, y, targets=[model])["0"]
    assert torch.equal(r.success & r.eligible, attack(model, x, y).success)
    assert r.success[~r.correct].all()  # wrong before any attack: raw alone counts it


def test_equal_weights_in_another_model_are_another_target():
    """A wrapper that does more than what it wraps is not taken for it."""

    class Last(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, x):
            return self.model(x).flip(1)

    model, x, y = trained()
    r = Transfer(PGD(12 / 255))(model, x, y, targets=[Last(model)])["0"]
    assert int(r.eligible.sum()) < 40


def test_a_constant_model_is_broken_by_nothing():
    model, x, y = trained()
    found = Transfer(PGD(12 / 255))(model, x, y, targets={"three": Constant(3)})
    r = found["three"]
    assert torch.equal(r.eligible, (y == 3) & found.source.correct)
    assert count(r)[0] == 0
    assert int((r.success & r.attacked).sum()) == int((found.source.eligible & (y != 3)).sum())  # raw: what it gets wrong anyway
    none = Transfer(PGD(1e-3, steps=1))(model, x[y == 1], y[y == 1], targets=[Constant(3)])["0"]
    assert count(none) == (0, 0)


def test_a_targeted_image_must_end_in_the_class_that_was_wanted():
    model, x, y = trained()
    attack = PGD(24 / 255, goal="most_likely", steps=10, n_restarts=1, exact=True)
    found = Transfer(attack)(model, x, y, targets=[other()])
    r, source = found["0"], found.source
    prediction = other()(source.x_adv).argmax(1)
    assert torch.equal(r.success, prediction == source.target)
    assert (prediction != y)[r.eligible].sum() > r.success[r.eligible].sum()


def test_models_without_numbers_are_counted_apart():
    model, x, y = trained()
    least = float(x.flatten(1).mean(1).median())
    dark = x.flatten(1).mean(1) > least
    found = Transfer(PGD(1e-4, 1e-5))(model, x, y, targets=[Dark(other(), least)])
    r = found["0"]
    assert r.errored[dark].all()
    assert not (r.success & r.errored).any()
    assert count(r)[1] <= int((~dark).sum())
    from_dark = Transfer(PGD(1e-4, 1e-5))(Dark(model, least), x, y, targets=[other()])["0"]
    assert from_dark.errored[dark].all()
    assert count(from_dark)[1] <= int((~dark).sum())


def test_no_result_depends_on_the_batch():
    model, x, y = trained()
    transfer = Transfer(PGD(8 / 255, steps=3, n_restarts=1, exact=True))
    one, many = (transfer(model, x[:50], y[:50], batch_size=size, targets=[other()])["0"] for size in (7, 50))
    for name, value in one.outcomes().items():
        assert torch.equal(value, many.outcomes()[name]), name


def test_models_stay_as_they_were():
    model, target = trained()[0], other().train()
    before = {k: v.clone() for k, v in target.state_dict().items()}
    Transfer(PGD(8 / 255, steps=2))(model, *trained()[1:], targets=[target])
    assert target.training
    assert all(torch.equal(v, before[k]) for k, v in target.state_dict().items())


def test_targets_of_something_else_are_refused_before_any_attack(monkeypatch):
    model, x, y = trained()
    monkeypatch.setattr(PGD, "__call__", lambda *a, **k: pytest.fail("attacked"))
    with pytest.raises(UserError, match="targets: 0 has 4 classes; the source has 10"):
        Transfer(PGD())(model, x, y, targets=[Constant(0, 4)])
    with pytest.raises(UserError, match="targets: flat does not take images of shape"):
        Transfer(PGD())(model, x, y, targets={"flat": nn.Sequential(nn.Flatten(), nn.Linear(5, 10)).double()})


# In the test loop


class Task(LightningModule):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def test_step(self, batch, batch_idx):
        self.model(batch[0])

    def forward(self, x):
        return self.model(x)


MODELS = {"self": lambda: trained()[0], "other": other, "bad": lambda: Dark(other(), 0.4)}


def run(folder, rank=0, world=1, runs=("self", "other", "bad"), attack=None, **kwargs) -> list[Row]:
    _, x, y = trained()
    data = Subset(TensorDataset(x[:60], y[:60], torch.arange(60)), range(rank, 60, world))
    transfer = Transfer(PGD(10 / 255, steps=4, n_restarts=1, exact=True, max_inputs=50) if attack is None else attack)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False, "accelerator": "cpu"}
    trainer = Trainer(default_root_dir=folder, callbacks=[transfer], logger=False, **quiet, **kwargs)
    trainer.rows, trainer.runs = Rows(folder / "results.jsonl"), runs
    trainer.load = lambda name: MODELS[name]()
    trainer.provenance = {"job": "3fa9c1", "model": "mine", "family": "nas"}
    trainer.test(Task(trained()[0]), DataLoader(data, batch_size=16), verbose=False)
    return list(transfer.rows)


@pytest.mark.filterwarnings("ignore:transfer")
def test_rows_say_what_the_call_says(tmp_path):
    rows = run(tmp_path)
    model, x, y = trained()
    attack = PGD(10 / 255, steps=4, n_restarts=1, exact=True)
    found = Transfer(attack)(model, x[:50], y[:50], targets={name: make() for name, make in MODELS.items()})
    assert [(r.params["target"]["model"], r.metric) for r in rows[::4]] == [(name, "transfer") for name in MODELS]
    assert [r.metric for r in rows[:4]] == ["transfer", "transfer_of_success", "source_asr", "transfer_raw"]
    for of, r in zip([rows[i : i + 4] for i in (0, 4, 8)], found.values(), strict=True):
        transfer, of_success, source, raw = of
        hits, n = count(r)
        assert (transfer.n, transfer.value) == (n, pytest.approx(hits / n))
        fine = r.eligible & ~r.errored
        assert of_success.n == int((fine & r.source_success).sum()) == round(source.value * source.n)
        assert raw.n == int((r.attacked & ~r.errored).sum())
        assert transfer.errored == int(r.errored.sum())
        outcomes = Rows(tmp_path / "results.jsonl").read_outcomes(transfer)
        assert np.array_equal(outcomes["success"], r.success.numpy())
        assert np.array_equal(outcomes["index"], np.arange(50))
        assert set(transfer.params) == {"attack", "target"}
        assert transfer.plugin == "transfer"
        assert len(transfer.params["target"]["victim"]) == 12
    alone = attack(model, x[:50], y[:50])
    assert rows[0].value == pytest.approx(int(alone.success.sum()) / int(alone.eligible.sum()))
    assert rows[0].params["target"]["victim"] == rows[0].victim  # of weights: no path is an identity
    assert rows[8].errored > 0
    assert len(Rows(tmp_path / "results.jsonl").read()) == 12


@pytest.mark.filterwarnings("ignore:transfer")
def test_the_same_model_twice_is_one_target(tmp_path):
    assert len(run(tmp_path, runs=("self", "other", "self"))) == 8


@pytest.mark.filterwarnings("ignore:the model answers")
def test_rows_say_what_is_doubtful_of_a_target(tmp_path, monkeypatch):
    monkeypatch.setitem(MODELS, "soft", lambda: nn.Sequential(other(), nn.Softmax(1)))
    rows = run(tmp_path, runs=("self", "soft"))
    assert [row.flags for row in rows] == [[]] * 4 + [["target soft: probabilities"]] * 4


def test_without_targets_it_is_refused(tmp_path):
    with pytest.raises(UserError, match="there are none"):
        run(tmp_path, runs=())


def on_two_ranks(rank: int, folder) -> list[float]:
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    strategy = DDPStrategy(process_group_backend="gloo", cluster_environment=LightningEnvironment())
    return [r.value for r in run(folder, rank, 2, ("self", "other"), strategy=strategy, devices=2, use_distributed_sampler=False)]


@pytest.mark.slow
def test_two_ranks_equal_one(tmp_path):
    one = run(tmp_path / "one", runs=("self", "other"))
    both = run_on_ranks(on_two_ranks, 2, tmp_path / "two")
    assert both == [[r.value for r in one]] * 2
    stores = [Rows(tmp_path / name / "results.jsonl") for name in ("one", "two")]
    for a, b in zip(*(store.read() for store in stores), strict=True):
        mine, theirs = stores[0].read_outcomes(a), stores[1].read_outcomes(b)
        assert all(np.array_equal(values, theirs[name]) for name, values in mine.items())


# The table


def cells(models: int) -> list[Row]:
    who = [{"model": f"wide_resnet_{i}" if i else "darts", "family": "nas", "job": f"{i:012x}", "victim": f"v{i}"} for i in range(models)]
    attack = {"class": "pgd", "goal": "untargeted", "eps": 8 / 255}
    common = {"plugin": "transfer", "n": 350, "ci": (0.05, 0.15), "outcomes": "outcomes/transfer.darts-1.npz"}
    return [
        Row(
            "transfer",
            0.1 if a is not b else 1.0,
            job=a["job"],
            model=a["model"],
            victim=a["victim"],
            params={"attack": attack, "target": b},
            **common,
        )
        for a in who
        for b in who
    ]


@pytest.mark.parametrize(("models", "tables"), [(2, 1), (6, 1), (8, 2)])
def test_the_matrix_is_readable_on_100_columns(models, tables):
    console = Console(width=100, record=True, force_terminal=False)
    across.show([(Rows("nowhere"), row) for row in cells(models)], console)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    assert text.count("100 [5, 15]") == models
    assert text.count("10 [5, 15]") == models * (models - 1)
    assert text.count("source ↓") == tables
    assert text.count("Transfer, transfer: pgd, untargeted, ε = 8/255") == 1


def test_many_models_have_ranges():
    assert across.ranges(3) == [(0, 0), (1, 1), (2, 2), (3, 3)]
    found = across.ranges(17)
    assert (found[0], found[-1]) == ((0, 0), (17, 17))
    assert [k for a, b in found for k in range(a, b + 1)] == list(range(18))
    assert len(found) <= across.WIDEST


# On the command line


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("several runs")


@pytest.mark.slow
def test_the_command_prints_both_tables(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    small = "--config classify --config digits --wandb=off --trainer.accelerator=cpu --trainer.max_epochs=3"
    for name in ("vgg", "resnet"):
        assert robnas(f"fit {small} --model.network={name} --experiment={name}", capsys).status == 0
    quick = "--wandb=off --trainer.accelerator=cpu --attacks.transfer.attack.max_inputs=40 --attacks.transfer_least.attack.max_inputs=40"
    quick += " --attacks.common.max_inputs=40 --attacks.common_least.max_inputs=40 --attacks.common.eps=16/255"
    said = robnas(
        f"attack vgg resnet --config transfer --config pgd/common {quick}".replace("vgg resnet", "runs/vgg/latest runs/resnet/latest"),
        capsys,
    )
    assert said.status == 0, said.err
    assert said.out.count("Attacks on") == 1
    assert said.out.count("Common vulnerability") == 1
    assert said.out.count("Transfer, transfer") == 2
    rows = [r for name in ("vgg", "resnet") for r in Rows(place / f"runs/{name}/latest/results.jsonl").read()]
    white = {
        r.model: r
        for r in rows
        if r.metric == "transfer" and r.params["target"]["job"] == r.job and r.params["attack"]["goal"] == "untargeted"
    }
    assert set(white) == {"vgg", "resnet"}
    assert {r.params["target"]["victim"] for r in white.values()} == {r.victim for r in rows if r.metric == "asr"}
    assert json.dumps(str(place)) not in json.dumps([r.params for r in rows])

    for wrong, says in (("runs/nowhere", "no checkpoint at"), ("timm:nothing", "nothing")):
        assert says in refused(
            f"attack runs/vgg/latest --config transfer {quick.split(' --attacks')[0]} --attacks.transfer.targets=[{wrong}]", capsys
        )
    assert robnas("export runs/resnet/latest exported", capsys).status == 0
    said = robnas(f"attack runs/vgg/latest exported --config transfer {quick.split(' --attacks.common')[0]}", capsys)
    assert said.status == 0, said.err
    assert "resnet" in said.out
