"""Tables 1, 2 and 6 and Figs 2 to 10 from made-up rows: what is put together, what is left out, what stands beside it."""

import numpy as np
import pytest

from made_rows import MANUAL, NAS, PGD, Made, everything, theft
from robnas import roc
from robnas.report.paper import fig_02, fig_03, fig_04, fig_06, fig_07, fig_08, fig_09, fig_10, table_01, table_02, table_06
from robnas.report.paper.fig_10 import GRID, curve
from robnas.report.paper.variants import in_words

ALL = (table_01, fig_02, fig_03, fig_04, fig_06, fig_07, fig_08, fig_09, table_02, fig_10)


def cells(exhibit, row=0):
    return dict(zip(exhibit.table.columns, exhibit.table.rows[row], strict=True))


def attacked(made, model, seed, value, dataset="CIFAR10", **params):
    made.add(model, seed, dataset, "asr", value, plugin="pgd", norm="linf", params={**PGD, **params})


def test_means_intervals_and_published_values_by_hand(tmp_path):
    made = Made(tmp_path)
    for seed, value in enumerate((0.7, 0.8, 0.9)):
        attacked(made, "darts", seed, value)
        attacked(made, "darts", seed, value, dataset="Digits")
    found = fig_02.exhibit(made.collected())
    cell = cells(found)["least likely class (L), ASR, %"]
    assert cell.value == pytest.approx(80)
    half = 4.302652729911275 * 10 / np.sqrt(3)  # SciPy: t.ppf(0.975, 2) · s / √n
    assert (cell.low, cell.high) == pytest.approx((80 - half, 100))  # a share ends at 100%
    assert cells(found)["least likely class (L), ASR, published, %"].value == pytest.approx(86.7)  # Table 4
    assert cells(found, 1)["least likely class (L), ASR, published, %"] is None  # of CIFAR-10, and these are digits
    assert found.table.blocks == ("CIFAR-10, paper: NAS", "Digits, paper: NAS")
    assert cell.runs == ("classify/ndarts0cifar10", "classify/ndarts1cifar10", "classify/ndarts2cifar10")
    assert "1 model (1 NAS), 3 seeds each" in found.caption
    assert "Reduced" in found.caption


def test_no_published_value_is_shown_for_other_data(tmp_path):
    made = Made(tmp_path)
    attacked(made, "darts", 0, 0.7, dataset="Digits")
    found = fig_02.exhibit(made.collected())
    assert not any("published" in column for column in found.table.columns)
    assert "numbers for CIFAR-10 alone, none for Digits" in found.caption


def test_settings_are_never_mixed_and_the_papers_is_drawn(tmp_path):
    made = Made(tmp_path)
    for model in ("darts", "resnet"):
        attacked(made, model, 0, 0.3, eps=4 / 255)  # Fig. 4's
        attacked(made, model, 0, 0.6)
        attacked(made, model, 0, 0.1, target="another model")  # a transfer
        attacked(made, model, 0, 0.2, control=True)
    found = fig_02.exhibit(made.collected())
    assert [row[1].value for row in found.table.rows] == pytest.approx([60, 60])
    assert "ε = 8/255, 7 steps of 2/255, 5 restarts" in found.caption


def test_what_trained_otherwise_is_another_sample(tmp_path):
    made = Made(tmp_path)
    for experiment in ("classify", "adversarial"):
        value = 0.2 if experiment == "adversarial" else 0.8
        made.add("darts", 0, "CIFAR10", "asr", value, experiment, run=experiment, plugin="pgd", norm="linf", params=PGD)
    made.write()
    for config in (tmp_path / "adversarial").glob("*/config.yaml"):
        config.write_text("model: {class_path: robnas.tasks.adversarial.AdversarialClassifier}\n")
    made.add("darts", 0, "CIFAR10", "asr", 0.1, "defended", run="d", plugin="pgd", norm="linf", params=PGD, treatment=" + fine_pruning")
    found = fig_02.exhibit(made.collected())
    assert [row[1].value for row in found.table.rows] == pytest.approx([80])


def test_what_is_missing_is_hatched_and_named_and_never_zero(tmp_path):
    made = Made(tmp_path)
    for goal, models in (("most_likely", ("darts", "resnet")), ("least_likely", ("darts",))):
        for model in models:
            attacked(made, model, 0, 0.5, goal=goal)
    found = fig_02.exhibit(made.collected())
    assert found.missing == "no number for CIFAR-10, paper, least likely class (L): ResNet"
    assert cells(found, 1)["least likely class (L), ASR, %"] is None
    least = found.figure.axes[1]
    assert [patch.get_hatch() for patch in least.patches] == ["////"]
    assert not [line for line in least.lines if line.get_marker() == "s"]  # no mark of ResNet


def test_untargeted_runs_are_shown_where_there_is_nothing_else(tmp_path):
    made = Made(tmp_path)
    attacked(made, "darts", 0, 0.5, goal="untargeted")
    assert fig_02.exhibit(made.collected()).table.columns[1] == "untargeted (not in the paper), ASR, %"


def test_success_over_radii_takes_the_curve_with_most_points(tmp_path):
    made = Made(tmp_path)
    for model in ("darts", "resnet"):
        for eps in (1, 4, 255):
            attacked(made, model, 0, eps / 255, goal="untargeted", eps=eps / 255, step_size=eps / 255 / 3)
        attacked(made, model, 0, 0.9, goal="untargeted", eps=8 / 255, step_size=2 / 255)  # no α = ε/3
        attacked(made, model, 0, 0.9, goal="untargeted", eps=6 / 255, step_size=2 / 255, steps=100)  # it is, but of another attack
    found = fig_03.exhibit(made.collected())
    assert found.table.columns == ("model", "ASR, % at 1", "ASR, % at 4", "ASR, % at 255")
    assert [cell.value for cell in found.table.rows[0][1:]] == pytest.approx([100 / 255, 400 / 255, 100])


def test_one_rate_alone_is_a_row_a_model(tmp_path):
    made = Made(tmp_path)
    for model in ("darts", "resnet"):
        more = {"plugin": "labelflip", "treatment": " + mine", "experiment": "label_flip", "access": "training"}
        made.add(model, 0, "Digits", "cad", 0.1, params={"rate": 0.4, "clean": f"/somewhere/{model}"}, **more)
        made.add(
            model, 0, "Digits", "cad", 0.01, run="d", params={"rate": 0.4, "clean": "x"}, **more | {"treatment": " + mine + loss_filter"}
        )
    found = fig_06.exhibit(made.collected())
    assert "Only one value of it was run (flipped training labels: 40%)" in found.caption
    assert [row[1].value for row in found.table.rows] == pytest.approx([10, 10])  # two runs against two clean ones, none of them defended


def test_backdoors_have_a_target_class_and_are_no_transfers(tmp_path):
    made = Made(tmp_path)
    for n, value in ((1, 0.5), (2, 0.8)):
        more = {"plugin": "trojannn", "treatment": " + t", "experiment": "trojannn", "run": n, "access": "training"}
        made.add("darts", 0, "CIFAR10", "asr", value, params={"n_neurons": n, "target": 0, "clean": f"run {n}"}, **more)
    collected = made.collected()
    by_default = cells(fig_07.exhibit(collected))
    assert by_default["TrojanNN, ASR, %"].value == pytest.approx(80)  # Table 6: two target neurons
    assert by_default["TrojanNN, ASR, published, %"].value == pytest.approx(99.9)
    assert [cell.value for cell in fig_08.exhibit(collected).table.rows[0][1:]] == pytest.approx([50, 80])


def test_inputs_broken_in_common_by_hand(tmp_path):
    made = Made(tmp_path, ("darts", "enas"))
    broken = {"darts": [1, 1, 0, 0, 1], "enas": [1, 0, 0, 0, 1]}
    for model, success in broken.items():
        outcomes = {"index": np.arange(5), "label": np.arange(5), "eligible": np.array([1, 1, 1, 1, model == "enas"], bool)}
        outcomes |= {"errored": np.zeros(5, bool), "success": np.array(success, bool)}
        made.add(model, 0, "Digits", "asr", 0.5, plugin="pgd", norm="linf", params={**PGD, "eps": 4 / 255}, outcomes=outcomes)
    found = fig_04.exhibit(made.collected())
    heights = [bar.get_height() for bar in found.figure.axes[0].patches]
    assert heights == [2, 1, 1]  # of the four inputs that are eligible in both; the fifth is not
    assert cells(found)["break all, %"].value == pytest.approx(25)
    assert cells(found)["if independent, %"].value == pytest.approx(100 * (2 / 4) * (1 / 4))


def test_fig_4_needs_two_models_of_a_family(tmp_path):
    made = everything(Made(tmp_path, ("darts", "resnet")))
    found = fig_04.exhibit(made.collected())
    assert found.empty
    assert "robnas attack" in found.missing


def test_thefts_find_their_victim_by_its_job(tmp_path):
    made = Made(tmp_path)
    for model in ("darts", "resnet"):
        made.add(model, 0, "CIFAR10", "accuracy", 0.9, kind="train", plugin="accuracy", params={"members": 0.5})
    theft(made, "darts", "darts", 0, "CIFAR10", 0.5, 8000)
    theft(made, "darts", "darts", 0, "CIFAR10", 0.7, 1000)
    theft(made, "resnet", "darts", 0, "CIFAR10", 0.9, 8000)
    place = made.add(
        "darts", 7, "CIFAR10", "ace", 9.0, "knockoff", run="lost", plugin="knockoff", params={"budget": 8000}, treatment=" + k"
    )
    assert place not in made.victims  # nobody knows whose it is
    collected = made.collected()
    aware = fig_09.exhibit(collected)
    assert [cell.value for cell in aware.table.rows[0][1:]] == pytest.approx([0.7, 0.5])
    assert len(aware.table.rows) == 1
    across = table_02.exhibit(collected)
    assert across.table.columns == ("model", "replica DARTS, ACE", "replica DARTS, ACE, published")
    assert [(row[0], row[1].value, row[2].value) for row in across.table.rows if row[0] == "ResNet"] == [("ResNet", 0.9, 1.377)]


def test_table_2_is_empty_without_a_pair_of_architectures(tmp_path):
    made = Made(tmp_path)
    made.add("darts", 0, "CIFAR10", "accuracy", 0.9, kind="train", plugin="accuracy", params={})
    theft(made, "darts", "darts", 0, "CIFAR10", 0.5, 8000)
    assert table_02.exhibit(made.collected()).empty


def test_clean_twins_and_attacked_models_are_not_in_table_1(tmp_path):
    made = Made(tmp_path)
    train = {"kind": "train", "plugin": "accuracy", "params": {"members": 1.0}}
    made.add("darts", 0, "CIFAR10", "accuracy", 0.95, **train)
    made.add("darts", 0, "CIFAR10", "accuracy", 0.5, "label_flip-clean", run="c", **train)
    made.add("darts", 0, "CIFAR10", "accuracy", 0.4, "label_flip", run="f", treatment=" + label_flip", **train)
    found = cells(table_01.exhibit(made.collected()))
    assert (found["accuracy, %"].value, found["accuracy, published, %"].value) == pytest.approx((95, 97))


def test_the_curve_has_the_area_that_the_auc_says():
    rng = np.random.default_rng(0)
    members, others = rng.normal(0.5, 1, 37), rng.normal(0, 1, 100)
    found = curve(members, others)
    assert found[:-1].mean() == pytest.approx(roc.auc(members, others).value)  # of a staircase with 100 steps, heights at their left ends
    assert (found[-1], len(found)) == (1, len(GRID))
    tied = curve(np.round(members), np.round(others))
    assert np.trapezoid(tied, GRID) == pytest.approx(roc.auc(np.round(members), np.round(others)).value, abs=0.01)
    np.testing.assert_allclose(curve(np.zeros(3), np.zeros(5)), GRID)  # one score for all: a guess


def test_shipped_configs_of_the_papers_protocol_are_table_6(tmp_path):
    found = table_06.exhibit(Made(tmp_path).collected())
    assert [row for row in found.table.rows if row[1] != row[2] and row[2].startswith(("≠", "none"))] == []
    assert len(found.table.rows) == 30


def test_table_6_says_what_runs_did_otherwise(tmp_path):
    made = Made(tmp_path)
    attacked(made, "darts", 0, 0.5, goal="most_likely", steps=4)
    attacked(made, "resnet", 0, 0.5, goal="most_likely", steps=3)
    made.add("darts", 0, "CIFAR10", "accuracy", 0.9, kind="train", plugin="accuracy", params={})
    made.write()
    for config in (tmp_path / "classify").glob("ndarts*/config.yaml"):
        config.write_text("trainer:\n  max_epochs: 30\ndata:\n  init_args:\n    batch_size: 96\n")
    rows = {row[0]: row[-1] for row in table_06.exhibit(made.collected()).table.rows}
    assert rows["Maximum iterations (M)"] == "≠ 3, 4"
    assert rows["Maximum iterations (L)"] == "not run"
    assert (rows["Training epochs"], rows["Batch size"]) == ("not run", "96")  # the last "Training epochs" is that of stealing
    assert rows["Perturbation threshold ε"] == "not run"  # of adversarial training, again the last
    every = [row[-1] for row in table_06.exhibit(made.collected()).table.rows if row[0] == "Training epochs"]
    assert every == ["≠ 30", "not run", "not run"]


@pytest.mark.parametrize("module", ALL, ids=lambda module: module.__name__.rpartition(".")[2])
def test_nothing_at_all_says_what_is_needed(tmp_path, module):
    found = module.exhibit(Made(tmp_path).collected())
    assert found.empty
    assert "robnas" in found.missing


def test_words_of_settings():
    assert in_words({"eps": "inf", "steps": 5, "norm": "linf"}) == "ε = ∞, 5 steps"
    assert in_words({"eps": 0.5, "norm": "l2", "steps": 1, "n_restarts": 1}) == "ε = 0.5, 1 step"
    assert in_words({"steps": 20, "step_size": 0.015}) == "20 steps of 0.015"
    assert in_words({"eps": 4 / 255, "norm": "linf", "steps": 20, "step_size": 4 / 255 / 3}) == "ε = 4/255, 20 steps of 1.33/255"
    assert in_words({"rate": 0.4}) == "40% flipped"


@pytest.mark.slow
def test_every_figure_at_full_size(tmp_path):
    made = everything(Made(tmp_path, NAS + MANUAL, seeds=3, datasets=("CIFAR10", "CIFAR100", "ImageNet32")))
    collected = made.collected()
    for module in ALL:
        found = module.exhibit(collected)
        assert not found.empty
        if found.figure is not None:
            found.figure.draw_without_rendering()
            assert found.figure.get_figwidth() <= 10.5
