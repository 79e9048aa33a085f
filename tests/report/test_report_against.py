"""Ours against published: rows of the published setting or the nearest, of plain trainings, and said where they differ."""

import pytest

from made_rows import PGD, Made, theft
from robnas.report import against
from robnas.report.exhibit import Exhibit


def found(exhibit: Exhibit, model: str, where: str, what: str) -> tuple[float, float, str] | None:
    """(ours, difference, ours by) of a published number of CIFAR-10; None where ours is not there."""
    assert exhibit.table is not None
    rows = [dict(zip(exhibit.table.columns, row, strict=True)) for row in exhibit.table.rows]
    (row,) = [row for row in rows if (row["model"], row["where"], row["data"], row["what"]) == (model, where, "CIFAR-10", what)]
    return None if row["ours"] is None else (row["ours"].value, row["difference"].value, row["ours by"])


def test_neither_sweeps_nor_defences_nor_controls_are_averaged_with_it(tmp_path):
    made = Made(tmp_path)
    trained = {"kind": "train", "plugin": "accuracy"}
    made.add("darts", 0, "CIFAR10", "accuracy", 0.97, **trained)
    made.add("darts", 0, "CIFAR10", "accuracy", 0.8, "adversarial", run="hard", **trained)
    for eps, asr in ((8, 1.0), (1, 0.1), (2, 0.3)):
        params = {**PGD, "goal": "most_likely", "eps": eps / 255}
        made.add("darts", 0, "CIFAR10", "asr", asr, plugin="pgd", norm="linf", kind="attack", params=params)
    weak = {**PGD, "goal": "most_likely"}
    made.add("darts", 0, "CIFAR10", "asr", 0.2, "adversarial", run="hard", plugin="pgd", norm="linf", kind="attack", params=weak)
    made.add("darts", 0, "CIFAR10", "asr", 0.4, plugin="pgd", norm="linf", kind="attack", params={**weak, "control": True})
    place = made.write() / "adversarial" / "ndarts0cifar10hard"
    (place / "config.yaml").write_text("model: {class_path: robnas.tasks.AdversarialClassifier}\n")
    exhibit = against.exhibit(made.collected())
    assert found(exhibit, "DARTS", "Table 1", "accuracy, %") == (pytest.approx(97), pytest.approx(0, abs=1e-9), "paper")
    assert found(exhibit, "DARTS", "Table 4", "ASR, most likely, %") == (pytest.approx(100), pytest.approx(0), "paper")
    assert found(exhibit, "DARTS", "Table 4", "ASR, least likely, %") is None


def test_the_nearest_setting_is_said_and_the_papers_protocol_comes_first(tmp_path):
    made = Made(tmp_path)
    params = {**PGD, "goal": "least_likely", "eps": 4 / 255, "step_size": 4 / 255 / 3}
    made.add("darts", 0, "CIFAR10", "asr", 0.5, plugin="pgd", norm="linf", kind="attack", params=params, protocol="sound")
    by = (found(against.exhibit(made.collected()), "DARTS", "Table 4", "ASR, least likely, %") or ("",))[-1]
    assert by == "sound: ε = 4/255, 7 steps of 1.33/255, 5 restarts"
    made.add("darts", 0, "CIFAR10", "asr", 0.8, plugin="pgd", norm="linf", kind="attack", params={**PGD})
    ours = found(against.exhibit(made.collected()), "DARTS", "Table 4", "ASR, least likely, %")
    assert ours == (pytest.approx(80), pytest.approx(80 - 86.7), "paper")


def test_a_theft_stands_beside_its_pair(tmp_path):
    made = Made(tmp_path)
    for model in ("darts", "resnet"):
        made.add(model, 0, "CIFAR10", "accuracy", 0.9, kind="train", plugin="accuracy")
    theft(made, "resnet", "darts", 0, "CIFAR10", 1.5, 8000)
    theft(made, "resnet", "darts", 0, "CIFAR10", 3.0, 1000)
    exhibit = against.exhibit(made.collected())
    assert found(exhibit, "victim ResNet / replica DARTS", "Table 2", "ACE") == (pytest.approx(1.5), pytest.approx(1.5 - 1.377), "paper")
    assert found(exhibit, "victim ResNet / replica DenseNet", "Table 2", "ACE") is None
