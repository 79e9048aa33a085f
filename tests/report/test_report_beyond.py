"""Beyond the paper: what is put in order, and τ of it against SciPy."""

import math
import re
from io import BytesIO

import numpy as np
import pytest
from scipy.stats import kendalltau

from made_rows import MANUAL, NAS, PGD, Made
from robnas.report import beyond
from robnas.report.beyond import accuracy_robustness, attack_attack, cells_robustness, probe_attack, searches
from robnas.report.beyond.measured import explanations, vulnerabilities
from robnas.report.beyond.robust import robust_accuracy
from robnas.report.beyond.taus import sample, signed, told
from robnas.report.collected import Collected
from robnas.report.paper.over_seeds import Who
from robnas.statistics import Correlations

MODELS = (*NAS[:5], *MANUAL[:3])


def cloud(made, models=MODELS):
    """PGD at two ε, HopSkipJump's distance and two probes. Larger k: less vulnerable to PGD, and to HopSkipJump but for one swap."""
    for k, model in enumerate(models):
        made.add(model, 0, "Digits", "accuracy", 0.9 + k / 100, kind="train", plugin="accuracy")
        made.add(model, 0, "Digits", "parameters", 1000.0 + k, kind="train", plugin="size")
        for eps in (2, 8):
            params = {**PGD, "goal": "untargeted", "eps": eps / 255, "step_size": eps / 255 / 3}
            made.add(model, 0, "Digits", "asr", (9 - k) / 10 * (1 if eps == 8 else 0.5), plugin="pgd", norm="linf", params=params)
            made.add(model, 0, "Digits", "robust_accuracy", 0.01 * k * eps, plugin="pgd", norm="linf", params=params)
        distance = {0: 2.0, 1: 1.0}.get(k, k + 1.0)
        params = {"goal": "untargeted", "eps": "inf", "norm": "l2"}
        made.add(model, 0, "Digits", "median_distance", distance, plugin="hopskipjump", norm="l2", params=params)
        made.add(model, 0, "Digits", "asr", 1.0, plugin="hopskipjump", norm="l2", params=params)
        made.add(model, 0, "Digits", "rise", 5.0 - k, kind="probe", plugin="contours", params={"at": "test"})
        steps = None if k == 0 else 10.0 * k
        made.add(model, 0, "Digits", "steps_to_loss_1", steps, kind="probe", plugin="convergence", params={"at": "fit_end"}, ci=None)
        made.add(model, 0, "Digits", "rise", 1.0, kind="probe", plugin="contours", params={"at": "epoch_2"})
    return made


def test_vulnerabilities_are_means_over_a_sweep_and_larger_is_worse(tmp_path):
    made = cloud(Made(tmp_path))
    found = {m.title: m for m in vulnerabilities(made.collected(), "digits")}
    assert list(found) == ["PGD", "HopSkipJump"]
    assert found["PGD"].values[Who("amoebanet", "nas")] == pytest.approx(0.9 * 0.75)
    assert found["PGD"].what == "ASR, mean over ε of 2/255, 8/255"
    assert found["HopSkipJump"].values[Who("amoebanet", "nas")] == -2.0  # by distance: its success is no news


def test_explanations_with_what_was_never_reached(tmp_path):
    found = {m.title: m for m in explanations(cloud(Made(tmp_path)).collected(), "digits")}
    assert found["steps to a loss of 1"].values[Who("amoebanet", "nas")] == math.inf
    assert found["contour of parameters: rise"].values[Who("darts", "nas")] == 4.0
    assert found["depth, normal cell"].values == {Who(name, "nas"): depth for name, depth in zip(NAS[:5], (4, 3, 4, 2, 2), strict=True)}
    assert found["parameters"].values[Who("bit", "manual")] == 1005


def test_kendalls_tau_against_scipy(tmp_path):
    collected = cloud(Made(tmp_path)).collected()
    found = probe_attack.exhibit(collected)
    columns = found.table.columns
    rows = {row[0]: dict(zip(columns, row, strict=True)) for row in found.table.rows}
    k = np.arange(len(MODELS))
    distance = -np.array([2.0, 1.0, *(k[2:] + 1.0)])
    assert rows["contour of parameters: rise"]["PGD"].value == pytest.approx(1)
    assert rows["contour of parameters: rise"]["HopSkipJump"].value == pytest.approx(kendalltau(5.0 - k, distance).statistic)
    steps = np.where(k == 0, np.inf, 10.0 * k)
    assert rows["steps to a loss of 1"]["HopSkipJump"].value == pytest.approx(kendalltau(steps, distance).statistic)
    assert rows["depth, normal cell"]["PGD"].note == "5 models"
    assert rows["contour of parameters: rise"]["PGD"].flags == ("beyond chance",)
    both = attack_attack.exhibit(collected)
    assert both.table.rows[0][1].value == pytest.approx(kendalltau(-k, distance).statistic)
    assert "of 1 pairs 1 go together and 0 against" in both.caption


def test_beyond_chance_hangs_on_how_many_models_a_tau_is_of(tmp_path):
    """Ten models, and depth of the five that have cells; and what is said where no τ of so few can be beyond chance."""
    collected = cloud(Made(tmp_path), (*NAS[:5], *MANUAL[:5])).collected()
    found = probe_attack.exhibit(collected)
    ten, five = map(float, re.search(r"Bold: \|τ\| above (\S+) of 10 models, (\S+) of 5 models;", found.caption).groups())
    assert ten < 0.7 < five
    for row in found.table.rows:
        for cell in (cell for cell in row[1:] if cell is not None):
            assert ("beyond chance" in cell.flags) == (abs(cell.value) > (ten if cell.note == "10 models" else five))
    n = np.array([[17, 5]])
    taus = Correlations(np.array([[0.7, 1.0]]), n, n, n)
    assert told(taus, np.array([[0.59, 1.3]])) == "0.59 of 17 models; of 5 no τ can be: too few"


def test_too_few_models_have_no_order(tmp_path):
    collected = cloud(Made(tmp_path), MODELS[:5]).collected()
    for module in (probe_attack, attack_attack):
        found = module.exhibit(collected)
        assert found.empty
        assert "here: 5 models" in found.missing


def test_robust_accuracy_is_of_the_radius_that_tells_models_apart(tmp_path):
    found = robust_accuracy(cloud(Made(tmp_path)).collected())
    assert "ε = 8/255" in found.how
    assert found.robust[Who("darts", "nas")].value == pytest.approx(0.08)
    assert found.accuracy[Who("darts", "nas")].value == pytest.approx(0.91)


def test_points_and_cells_stand_for_what_is_there(tmp_path):
    collected = cloud(Made(tmp_path)).collected()
    found = accuracy_robustness.exhibit(collected)
    depths = {row[0]: getattr(row[3], "value", row[3]) for row in found.table.rows}
    assert (depths["DARTS"], depths["ENAS"], depths["BiT"]) == (3, 2, "–")
    drawn = cells_robustness.exhibit(collected)
    titles = [text.get_text() for axes in drawn.figure.axes for text in axes.texts if text.get_weight() == "bold"]
    assert [title for title in titles if "cell" not in title.lower()] == [
        f"{name}, place {place} of 5" for place, name in enumerate(("NASNet", "ENAS", "DrNAS", "DARTS", "AmoebaNet"), 1)
    ]


def test_a_sample_of_many_is_always_the_same():
    many = [Who(f"random_{i}", "nas") for i in range(1000)]
    assert len(sample(many)) == 200
    assert sample(many) == sample(many)
    assert sample(many[:20]) == many[:20]


def test_signs():
    assert (signed(-0.004), signed(-0.42), signed(1.0)) == ("0.00", "−0.42", "1.00")


def test_what_is_missing_is_said(tmp_path):
    for name in beyond.ORDER:
        found = beyond.function(name)(Collected.read(tmp_path))
        assert found.empty
        assert found.missing
    assert "n_step" in searches.exhibit(Collected.read(tmp_path)).missing


@pytest.mark.slow
def test_all_can_be_drawn(tmp_path):
    collected = cloud(Made(tmp_path), (*NAS, *MANUAL)).collected()
    for name in beyond.ORDER:
        if (figure := beyond.function(name)(collected).figure) is not None:
            figure.savefig(BytesIO(), format="svg")
