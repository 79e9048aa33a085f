"""Victims that try to confuse, under every built-in evasion attack: a flag or a line, never a wrong number."""

import warnings

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from confusing import Changed, quantised
from robnas.attacks import APGD, NES, PGD, Attack, Ensemble, EpsSweep, HopSkipJump, Noise, Square, masking_words
from robnas.attacks.noticed import ENOUGH, Noticed, doubts
from robnas.attacks.unfinished import Unfinished
from robnas.results import Row, Rows
from small_victims import trained

QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False, "accelerator": "cpu"}
EPS = 6 / 255


def attacks() -> dict[str, Attack]:
    """Every built-in one; PGD with a target too."""
    found = {
        "pgd": PGD(EPS, 2 / 255, steps=3, n_restarts=1),
        "pgd_least": PGD(EPS, 2 / 255, steps=3, n_restarts=1, goal="least_likely"),
        "apgd": APGD(EPS, steps=4),
        "square": Square(EPS, n_queries=6),
        "nes": NES(EPS, steps=2, n_queries=6),
        "hopskipjump": HopSkipJump(steps=1, initial_evaluations=5, max_evaluations=5, n_starts=10),
        "ensemble": Ensemble(EPS, steps=3, n_targets=2, n_queries=4),
        "eps_sweep": EpsSweep(PGD(steps=2, n_restarts=1), [EPS / 2, EPS]),
        "noise": Noise(EPS, n_queries=4),
    }
    for name, attack in found.items():
        attack.name = name
    return found


class Task(LightningModule):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x)

    def test_step(self, batch, batch_idx):
        pass


def run(folder, model: nn.Module, x: torch.Tensor, y: torch.Tensor, found: dict[str, Attack] | None = None) -> list[Row]:
    found = attacks() if found is None else found
    trainer = Trainer(default_root_dir=folder, callbacks=list(found.values()), logger=False, **QUIET)
    trainer.rows = Rows(folder / "results.jsonl")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what they warn of is in the rows
        trainer.test(Task(model), DataLoader(TensorDataset(x, y, torch.arange(len(x))), batch_size=64), verbose=False)
    return [row for attack in found.values() for row in attack.rows]


def never_nine(z: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return torch.cat([z[:, :9], z[:, 9:] - 1e4], 1)


def dark(z: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return z + torch.where(x[:, 0, 3, 3] > 0.7, torch.nan, 0.0)[:, None]


WHITE = {"pgd", "pgd_least", "apgd", "ensemble.apgd_ce", "ensemble.apgd_t", "ensemble", "eps_sweep"}
CONFUSING = {
    "dropout left on": (Changed(logits=lambda z, x: nn.functional.dropout(z, 0.3)), "random", None),
    "softmax as output": (Changed(logits=lambda z, x: z.softmax(1)), "probabilities", None),
    "a class that is never predicted": (Changed(logits=never_nine), "class never predicted", None),
    "a gradient of zero": (quantised(), "no gradient", WHITE),
    "a constant": (Changed(logits=lambda z, x: z * 0 + torch.arange(10.0).double()), "one class only", None),
}


def block(row: Row) -> str:
    return masking_words.block(row)


@pytest.mark.parametrize("name", CONFUSING)
def test_is_flagged_on_every_row_that_it_makes_doubtful(tmp_path, name):
    model, flag, on = CONFUSING[name]
    _, x, y = trained()
    rows = run(tmp_path, model, x[: 10 * ENOUGH], y[: 10 * ENOUGH])
    asr = [row for row in rows if row.metric == "asr"]
    assert {block(row) for row in asr} == {*attacks(), "ensemble.apgd_ce", "ensemble.apgd_t", "ensemble.square"}
    for row in rows:
        assert (flag in row.flags) == (on is None or block(row) in on), (block(row), row.metric, row.flags)
        low, high = row.ci or (0, 1)
        assert row.value is None or row.metric == "median_distance" or low <= row.value <= high
    said = masking_words.said(rows)
    assert any(masking_words.SAYS[flag] in line for line in said), said
    stored = Rows(tmp_path / "results.jsonl").read()
    assert [row.flags for row in stored] == [row.flags for row in rows]


def test_an_honest_model_has_no_flag(tmp_path):
    model, x, y = trained()
    for row in run(tmp_path, model, x[: 10 * ENOUGH], y[: 10 * ENOUGH]):
        assert row.flags == [], block(row)


def test_a_constant_is_not_broken(tmp_path):
    rows = run(tmp_path, CONFUSING["a constant"][0], *trained()[1:])
    for row in rows:
        if row.metric == "asr" and not block(row).startswith("hop"):
            assert row.value in (0, None), block(row)  # None: what the ensemble's later members were given
        if row.metric == "clean_accuracy":
            assert row.value == pytest.approx((trained()[2] == 9).double().mean().item())
    near = next(row for row in rows if row.metric == "median_distance")
    assert (near.value, near.n, near.errored) == (None, 0, near.eligible)


def test_inputs_without_numbers_are_in_no_share(tmp_path):
    _, x, y = trained()
    lost = (x[:100, 0, 3, 3] > 0.7).numpy()
    assert 0 < lost.sum() < 50
    rows = run(tmp_path, Changed(logits=dark), x[:100], y[:100])
    store = Rows(tmp_path / "results.jsonl")
    for row in rows:
        outcomes = store.read_outcomes(row)
        errored = outcomes["errored"][lost]
        assert errored.all(), block(row)
        assert row.errored == outcomes["errored"].sum()
        assert not (outcomes["errored"] & (outcomes["success"] | outcomes["robust"])).any()
        if row.metric == "robust_accuracy":
            assert row.n == 100 - row.errored, block(row)


def test_all_labels_wrong_is_said_and_has_no_success_rate(tmp_path):
    model, x, _ = trained()
    wrong = (model(x[:40]).argmax(1) + 1) % 10
    rows = run(tmp_path, model, x[:40], wrong)
    for row in rows:
        assert "nothing attacked" in row.flags, block(row)
        if row.metric == "asr":
            assert (row.value, row.n, row.eligible) == (None, 0, 0), block(row)
        if row.metric == "robust_accuracy":
            assert row.value == 0
    assert masking_words.said(rows)[0] == masking_words.SAYS["nothing attacked"] + "."


def test_of_two_classes_the_last_is_the_second(tmp_path):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = trained()[0]

        def forward(self, x):
            z = self.model(x)
            return torch.stack([z[:, :5].logsumexp(1), z[:, 5:].logsumexp(1)], 1)

    _, x, y = trained()
    rows = run(tmp_path, Two(), x[:60], (y[:60] >= 5).long())
    for row in rows:
        assert ("second is last class" in row.flags) == (block(row) == "pgd_least"), block(row)


@pytest.mark.parametrize("name", ["dropout left on", "softmax as output", "a gradient of zero", "a class that is never predicted"])
def test_a_resumed_attack_keeps_its_flags(tmp_path, monkeypatch, name):
    """All batches come from files, and the victim is not asked at all."""
    model, flag, _ = CONFUSING[name]
    _, x, y = trained()
    monkeypatch.setattr(Unfinished, "worth", 0.0)
    monkeypatch.setattr(Unfinished, "forget", lambda self: None)
    found = {k: attacks()[k] for k in ("pgd", "square")}
    first = run(tmp_path, model, x[:100], y[:100], found)

    class Asked(PGD):
        def __call__(self, *args, **kwargs):
            raise AssertionError("a batch that was through is attacked again")

    Asked.name, Asked.__name__ = "pgd", "PGD"
    resumed = run(tmp_path, model, x[:100], y[:100], {"pgd": Asked(EPS, 2 / 255, steps=3, n_restarts=1)})
    assert flag in first[0].flags
    assert [(r.value, r.flags) for r in resumed] == [(r.value, r.flags) for r in first[:3]]


def test_a_few_inputs_say_nothing_of_classes():
    noticed = Noticed()
    noticed.judged(torch.eye(10)[[0, 1, 1]], torch.ones(3, dtype=torch.bool))
    kept = noticed.arrays()
    assert kept["answers"].tolist() == [1, 2] + [0] * 8
    assert len(noticed.arrays()["answers"]) == 0  # counted once
    for n, flags in ((99, []), (100, ["class never predicted"])):
        outcomes = {"index": np.arange(n), "eligible": np.ones(n, dtype=bool)}
        assert doubts([kept], outcomes, "untargeted", white=True) == flags


def test_data_sorted_by_class_say_nothing_of_classes_that_are_not_there():
    label = np.repeat(np.arange(10), 200)[:1000]  # the first thousand: classes 0 to 4
    eligible = np.ones(1000, dtype=bool)
    answers = np.array([200] * 5 + [0] * 5)
    assert doubts([{"answers": answers}], {"index": np.arange(1000), "eligible": eligible, "label": label}, "untargeted", white=True) == []
    answers = np.array([200] * 4 + [0] * 6)
    found = doubts([{"answers": answers}], {"index": np.arange(1000), "eligible": eligible, "label": label}, "untargeted", white=True)
    assert found == ["class never predicted"]
    alone = doubts([{"answers": np.array([1000, 0])}], {"index": label * 0, "eligible": eligible, "label": label * 0}, None, white=True)
    assert alone == []  # one class is all that it was shown


def test_one_gradient_in_ten_that_is_zero_is_told():
    for zeros, flags in ((9, []), (10, ["no gradient"])):
        noticed = Noticed()
        gradient = torch.ones(100, 1, 2, 2)
        gradient[:zeros] = 0
        noticed.gave(gradient)
        outcomes = {"index": np.arange(5), "eligible": np.ones(5, dtype=bool)}
        kept = noticed.arrays()
        assert doubts([kept], outcomes, "untargeted", white=True) == flags
        assert doubts([kept], outcomes, "untargeted", white=False) == []
