"""An attack with its controls: no flag on honest models, a flag on every masked one; the same in rows, in words and in a call."""

import math
import warnings

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader, TensorDataset

from confusing import Changed, honest, quantised
from robnas.attacks import APGD, PGD, HopSkipJump, MaskingChecks, Noise, Square, masking_words
from robnas.attacks.foreign import Foreign
from robnas.attacks.masking import FLAGS, Trial, judge
from robnas.errors import UserError
from robnas.results import Row, Rows
from small_victims import trained

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False, "accelerator": "cpu", "logger": False}
EPS = 8 / 255


def checks(attack=None, **kwargs) -> MaskingChecks:
    return MaskingChecks(attack or PGD(EPS, 2 / 255, steps=8, n_restarts=1), **({"square_queries": 60} | kwargs))


def saturated() -> Changed:
    """Sure of itself beyond float32: the cross-entropy's gradient is zero."""
    return Changed(logits=lambda z, x: (z * 1000).float())


def test_controls_are_what_they_are_called():
    found = checks(PGD(EPS, 2 / 255, steps=8, n_restarts=3, goal="most_likely"), max_inputs=40).controls()
    assert {k: (round(255 * a.eps, 6), a.steps) for k, a in found.items()} == {
        "itself": (8, 8),
        "half_eps": (4, 8),
        "twice_eps": (16, 8),
        "unbounded": (255, 8),
        "twice_steps": (8, 16),
        "noise": (8, 24),
        "square": (8, 60),
    }
    assert {a.goal for a in found.values()} == {"most_likely"}
    assert {a.max_inputs for a in found.values()} == {40}
    assert [round(255 * found[k].step_size, 6) for k in ("itself", "half_eps", "twice_eps", "unbounded", "twice_steps")] == [
        2,
        1,
        4,
        63.75,
        2,
    ]
    assert list(checks(Square(EPS, 30)).controls()) == ["itself", "half_eps", "twice_eps", "unbounded", "twice_steps", "noise"]
    assert checks(Square(EPS, 30)).controls()["twice_steps"].n_queries == 60
    assert "noise" not in checks(Noise(EPS, 5)).controls()
    assert "twice_eps" not in checks(PGD(0.6)).controls()
    far = checks(PGD(0.5, 0.1, norm="l2")).controls()["unbounded"]
    assert (far.eps, far.step_size) == (math.inf, 1.0)


def test_an_attack_of_another_library_has_steps_of_its_own():
    class Theirs(Foreign):
        """Whatever."""

        library = "theirs"

        def look_at(self) -> None:
            """Nothing."""

        def images(self, asked, x, goal, classes, seed):
            """None."""

    found = checks(Theirs("FGSM")).controls()
    assert list(found) == ["itself", "half_eps", "twice_eps", "unbounded", "noise", "square"]
    assert found["noise"].n_queries == 100


def test_without_a_ball_there_is_nothing_to_check():
    with pytest.raises(UserError, match="hopskipjump has eps inf; masking checks need a ball"):
        MaskingChecks(HopSkipJump())


@pytest.mark.parametrize(
    "attack", [PGD(0.4, 0.1, steps=8, n_restarts=1, norm="l2"), APGD(EPS, steps=8), PGD(EPS, 2 / 255, steps=8, n_restarts=1)]
)
def test_an_honest_model_passes_all_five(attack):
    model, x, y = trained()
    r = checks(attack)(model, x[:40], y[:40])
    assert r.flags == []
    assert set(r.checks) == set(FLAGS)
    assert r["unbounded"].success[r["unbounded"].eligible].all()


@pytest.mark.parametrize(
    ("model", "loss", "flags"),
    [
        (quantised, "log_odds", {"weaker than black box", "below 100% unbounded"}),
        (saturated, "cross_entropy", {"below 100% unbounded"}),
        (saturated, "log_odds", set()),  # the same model, and an attack that does not round to zero
    ],
)
def test_a_masked_model_is_found(model, loss, flags):
    _, x, y = trained()
    r = checks(PGD(EPS, 2 / 255, steps=8, n_restarts=1, loss=loss), square_queries=250)(model(), x[:70], y[:70])
    assert flags <= set(r.flags)
    assert bool(r.flags) == bool(flags)


def test_a_gradient_that_points_elsewhere_is_found():
    """Forward honest, backward random, as a defence that shatters gradients. Asked as given: torch.fx would trace the forward alone."""

    class Shattered(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return torch.randn(gradient.shape, generator=torch.Generator().manual_seed(0), dtype=gradient.dtype)

    _, x, y = trained()
    r = checks(PGD(EPS, 2 / 255, steps=8, n_restarts=1, exact=True, loss="log_odds"), square_queries=250)(
        Changed(pixels=Shattered.apply), x[:70], y[:70]
    )
    assert "weaker than black box" in r.flags


class Task(LightningModule):
    def __init__(self, model) -> None:
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)

    def test_step(self, batch, batch_idx):
        pass


def run(folder, model, found) -> list[Row]:
    _, x, y = trained()
    trainer = Trainer(default_root_dir=folder, callbacks=found, **QUIET)
    trainer.rows = Rows(folder / "results.jsonl")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        trainer.test(Task(model), DataLoader(TensorDataset(x[:90], y[:90], torch.arange(90)), batch_size=45), verbose=False)
    return [row for attack in found for row in attack.rows]


def test_a_later_command_flags_the_rows_of_an_earlier_one(tmp_path):
    (asr, robust, clean) = run(tmp_path, quantised(), [PGD(EPS, 2 / 255, steps=8, n_restarts=1)])
    assert (asr.checks, asr.flags) == ({}, ["no gradient"])
    controlled = checks(max_inputs=70, square_queries=250)
    controlled.name = "masking"
    rows = run(tmp_path, quantised(), [controlled])
    store = Rows(tmp_path / "results.jsonl")
    asr, robust, clean = store.read()[:3]
    for row in (asr, robust):
        assert {"no gradient", "weaker than black box", "below 100% unbounded"} <= set(row.flags)
        assert set(row.checks) == set(FLAGS)
        assert row.checks["black box"]["n"] == rows[0].n  # on the inputs that both attacked
    assert (clean.flags, clean.checks) == (["no gradient"], {})
    assert [row.params["control"] for row in rows[::3]] == [
        "itself",
        "half_eps",
        "twice_eps",
        "unbounded",
        "twice_steps",
        "noise",
        "square",
    ]
    call = checks(square_queries=250)(quantised(), *(t[:70] for t in trained()[1:]))
    assert {k: f | {"against": ""} for k, f in rows[0].checks.items()} == {k: f | {"against": ""} for k, f in call.checks.items()}
    assert call.checks["steps"]["against"] == "twice_steps"
    said = masking_words.said(rows)
    assert said[0] == masking_words.SAYS["no gradient"] + "."
    assert any(line.startswith("masking.itself at ε = 8/255: weaker than black box (masking.square) on ") for line in said), said
    text = store.path.read_text()
    run(tmp_path, quantised(), [])
    assert store.path.read_text() == text


@pytest.mark.slow
def test_five_honest_models_have_no_flag():
    """Nine attacks at four radii each, all held against each other."""
    _, x, y = trained()
    flagged, made = [], 0
    for seed in range(5):
        trials = []
        for eps in (2 / 255, 6 / 255, 16 / 255, 1.0):
            pgd = {"eps": eps, "step_size": eps / 4, "n_restarts": 1}
            found = [PGD(steps=8, **pgd), PGD(steps=16, **pgd), PGD(steps=8, **pgd | {"n_restarts": 2}), APGD(eps, 10), APGD(eps, 20)]
            found += [Square(eps, 40), Square(eps, 80), Noise(eps, 10), Noise(eps, 30)]
            for attack in found:
                r = attack(honest(seed), x, y)
                row = Row("asr", 0.0, plugin=attack.name, params=attack.arguments(), access=attack.access, norm=attack.norm)
                trials.append(Trial.of(row, {k: v.numpy() for k, v in r.outcomes().items()}))
        for key, its in judge(trials).items():
            made += len(its)
            flagged += [(seed, key, check, finding) for check, finding in its.items() if finding["flagged"]]
    assert made > 500
    assert flagged == []
