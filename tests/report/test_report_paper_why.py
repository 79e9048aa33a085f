"""Figs 11, 12, 14 to 18 and Tables 3 and 4 from made-up rows and cells."""

import math
from io import BytesIO

import numpy as np
import pytest
from matplotlib.text import Text

from made_rows import MANUAL, NAS, PGD, Made, theft
from robnas.report.collected import Collected
from robnas.report.paper import fig_11, fig_12, fig_14, fig_15, fig_16, fig_17, fig_18, table_03, table_04
from robnas.report.paper.cells_found import Search, named
from robnas.report.paper.labels import label
from robnas.report.paper.over_seeds import Who, Worth, crowded, over_seeds
from robnas.report.searched import VARIANTS
from robnas.report.style import grid
from robnas.space.published import find

ALL = (fig_11, fig_12, fig_14, fig_15, fig_16, fig_17, fig_18, table_03, table_04)
DARTS = Who("darts", "nas")


def cells(exhibit, row=0):
    return dict(zip(exhibit.table.columns, exhibit.table.rows[row], strict=True))


def variance(made, model, seed, value, metric="gradient_variance", **params):
    made.add(
        model, seed, "Digits", metric, value, kind="probe", plugin="gradientvariance", params={"batch_norm": "running", **params}, n=64
    )


def contour(made, model, seed=0, height=1.0, plugin="contours", **params):
    along = np.linspace(-0.25, 0.25, 5)
    gamma = 0.01 + height * (along[:, None] ** 2 + along[None] ** 2)
    arrays = {"gamma": gamma[None].repeat(3, 0) if plugin == "inputcontours" else gamma, "grid": along}
    more = {"kind": "probe", "plugin": plugin, "params": {"level": 0.1, "at": "test", **params}, "outcomes": arrays}
    made.add(model, seed, "Digits", "rise", height / 10, **more)


def hardened(made, model, seed, before, after, asr, eps=8 / 255, ci=None):
    made.add(model, seed, "Digits", "accuracy", before, kind="train", plugin="accuracy", ci=ci)
    params = {"method": "pgd", "attack": "pgd", "eps": eps}
    place = made.add(
        model, seed, "Digits", "accuracy", after, "adversarial", run="adv", kind="train", plugin="accuracy", params=params, ci=ci
    )
    untargeted = {**PGD, "goal": "untargeted", "eps": eps}
    made.add(model, seed, "Digits", "asr", asr, "adversarial", run="adv", plugin="pgd", norm="linf", params=untargeted)
    made.add(model, seed, "Digits", "asr", 1.0, plugin="pgd", norm="linf", params=untargeted)
    folder = made.root / place
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text("model: {class_path: robnas.tasks.adversarial.AdversarialClassifier}\n")


def searched(made, experiment, seed, genotype, seconds=60.0, **params):
    more = {"kind": "search", "plugin": "darts", "params": {"gamma": 1.0, "n_step": 1, **params}, "search_seed": seed, "train_seed": None}
    for metric, value in (("normal/depth", float(genotype.normal.depth)), ("seconds", seconds)):
        place = made.add("darts", seed, "Digits", metric, value, experiment, ci=None, **more)
    (made.root / place).mkdir(parents=True, exist_ok=True)
    (made.root / place / "genotype.yaml").write_text(genotype.to_yaml())
    for row in made.rows[place]:
        object.__setattr__(row, "model", experiment)


def test_over_seeds_by_hand(tmp_path):
    made = Made(tmp_path)
    for seed, value in enumerate((1.0, 100.0)):
        variance(made, "darts", seed, value)
    variance(made, "resnet", 0, 5.0)
    variance(made, "vgg", 0, None)
    found = over_seeds(made.collected().rows, logarithmic=True)
    assert list(found) == [DARTS, Who("resnet", "manual")]  # what has no number is no model of the figure
    assert found[DARTS].value == pytest.approx(10)
    half = 12.706204736174698 * math.log(100) / 2  # SciPy: t.ppf(0.975, 1) · s / √2, s = log(100) / √2
    assert math.log(found[DARTS].high) == pytest.approx(math.log(10) + half)
    assert (found[Who("resnet", "manual")].low, found[Who("resnet", "manual")].high) == pytest.approx((4.97, 5.03))  # its own, over inputs


def test_a_searched_cell_is_not_the_published_one_of_its_name(tmp_path):
    made = Made(tmp_path)
    for search_seed in (None, 0):
        made.add("darts", 0, "Digits", "accuracy", 0.9, run=str(search_seed), kind="train", search_seed=search_seed)
    assert [one.title for one in over_seeds(made.collected().rows)] == ["DARTS", "DARTS, searched"]


def test_of_a_crowd_those_without_a_name_share_a_line():
    worth = {Who(f"random_{i:03d}", "nas"): Worth(10.0**i, None, None, (1.0,)) for i in range(41)}
    marks = crowded({DARTS: Worth(3.0, None, None, (3.0,)), **worth})
    assert [mark.model for mark in marks] == ["DARTS", "41 other NAS"]
    assert marks[1].value == pytest.approx(1e20)
    assert len(crowded(worth, lines=41)) == 41


def test_gradient_variance_stands_by_when_and_how_weights_were_drawn(tmp_path):
    made = Made(tmp_path)
    variance(made, "darts", 0, 50.0, at="test", initialisation=None)
    variance(made, "darts", 0, 500.0, at="fit_start", initialisation="kaiming", batch_norm="inputs")
    variance(made, "darts", 0, 400.0, at="fit_start")
    variance(made, "darts", 0, 7.0, at="epoch_3")
    found = fig_12.exhibit(made.collected())
    assert {column: cell.value for column, cell in cells(found).items() if column != "model"} == pytest.approx(
        {
            "Var(g), after training": 50,
            "Var(g), before: own weights, norms idle": 400,
            "Var(g), before: Kaiming for all, norms settled": 500,
        }
    )
    assert found.missing == "manual models, to compare with"
    assert len(found.figure.axes) == 3


def test_contours_are_of_one_kind_and_one_scale(tmp_path):
    made = Made(tmp_path)
    for model in ("darts", "enas", "resnet", "densenet", "vgg"):
        contour(made, model, height=3.0 if model == "darts" else 1.0)
    contour(made, "darts", plugin="inputcontours")
    contour(made, "sgas", radius=1.0)  # measured in another way: not to be held against the others
    found = fig_11.exhibit(made.collected())
    assert [row[0] for row in found.table.rows] == ["DARTS", "ENAS", "DenseNet", "ResNet", "VGG"]
    assert cells(found)["(a) parameters: rise, nats"].value == pytest.approx(0.3)
    assert "contours in inputs of ENAS, DenseNet, ResNet, VGG" in found.missing
    assert len(found.figure.axes) == 2 * 5 + 1  # and a bar of colours
    norms = {c.norm.boundaries.tobytes() for axes in found.figure.axes for c in axes.collections if hasattr(c.norm, "boundaries")}
    assert len(norms) == 1


def test_a_contour_whose_arrays_are_gone_is_said_to_be_missing(tmp_path):
    made = Made(tmp_path)
    contour(made, "darts")
    contour(made, "resnet")
    made.write()
    next(tmp_path.glob("classify/mresnet*/outcomes/*.npz")).unlink()
    found = fig_11.exhibit(Collected.read(tmp_path))
    assert "contours in parameters of ResNet" in found.missing
    assert [row[0] for row in found.table.rows] == ["DARTS", "ResNet"]  # its numbers are there


def test_table_3_differs_from_the_printed_one_in_two_cells():
    found = table_03.exhibit(Collected(None))
    differ = [
        (row[0], column)
        for row in found.table.rows
        for column, cell in zip(found.table.columns, row, strict=True)
        if "differs" in getattr(cell, "flags", ())
    ]
    assert differ == [("DARTS", "skips, printed"), ("NASNet", "skips, printed")]
    assert "skips as printed in 7 of 9 rows" in found.caption
    assert cells(found, 1)["depth"].value == 3
    assert not found.missing


@pytest.mark.parametrize(
    ("n_step", "gamma", "variant"), [(1, 1.0, "darts"), (5, 1.0, "darts_i"), (1, 0.5, "darts_ii"), (5, 0.25, "darts_iii")]
)
def test_which_variant_a_search_is_follows_from_its_settings(n_step, gamma, variant):
    search = Search("darts", 0, "", {"n_step": n_step, "gamma": gamma, "damp": "alpha"}, None)
    assert search.variant == variant
    assert Search("sgas", 0, "", {"n_step": n_step, "gamma": gamma}, None).variant == "sgas"
    assert ("½ on α" in search.title) == (gamma == 0.5)


def test_cells_by_hand_and_searched_ones_stand_beside_each_other(tmp_path):
    made = Made(tmp_path)
    searched(made, "darts_i", 0, find("pdarts"), n_step=5)
    found = fig_15.exhibit(made.collected())
    assert [row[0] for row in found.table.rows][-1] == "DARTS-i, searched (n_step 5), seed 0"
    assert found.table.rows[-1][1].value == find("pdarts").normal.depth
    assert "searches of DARTS, DARTS-ii, DARTS-iii" in found.missing


def test_an_accuracy_drop_is_of_one_seed_with_and_without_adversarial_training(tmp_path):
    made = Made(tmp_path)
    for seed, (before, after) in enumerate(((0.9, 0.8), (0.8, 0.75))):
        hardened(made, "darts", seed, before, after, 0.4)
    made.add("darts", 2, "Digits", "accuracy", 0.1, kind="train", plugin="accuracy")  # not trained adversarially
    made.add("darts", 0, "Digits", "accuracy", 0.2, "x-clean", kind="train", plugin="accuracy")  # a twin of an attacked one
    found = fig_14.exhibit(made.collected())
    own = cells(found)
    assert own["drop, points"].value == pytest.approx(7.5)
    half = 12.706204736174698 * 2.5  # SciPy: t.ppf(0.975, 1) · (10 − 5)/√2 / √2
    assert (own["drop, points"].low, own["drop, points"].high) == pytest.approx((7.5 - half, 7.5 + half))
    assert (own["ASR after, %"].value, own["ASR before, %"].value) == pytest.approx((40, 100))
    assert "ε = 8/255" in found.caption
    assert found.figure is not None


def test_of_one_seed_the_interval_of_a_drop_is_newcombes(tmp_path):
    """56/70 against 48/80, as in Newcombe (1998), Table II (a), method 10: 0.2 [0.0524, 0.3339]."""
    made = Made(tmp_path)
    hardened(made, "darts", 0, 56 / 70, 48 / 80, 0.4)
    from robnas.statistics import wilson

    for place, rows in made.rows.items():
        for row in rows:
            if row.metric == "accuracy":
                object.__setattr__(row, "ci", wilson(48, 80) if place.startswith("adversarial") else wilson(56, 70))
    drop = cells(fig_14.exhibit(made.collected()))["drop, points"]
    assert (drop.value, drop.low, drop.high) == pytest.approx((20, 5.24, 33.39), abs=0.01)


def test_what_adversarial_training_lacks_is_named(tmp_path):
    made = Made(tmp_path)
    params = {"method": "trades", "eps": 8 / 255}
    made.add("darts", 0, "Digits", "accuracy", 0.8, "adversarial", run="a", kind="train", plugin="accuracy", params=params)
    found = fig_14.exhibit(made.collected())
    assert found.figure is None
    assert "untargeted PGD after it" in found.missing
    assert "without adversarial training" in found.missing
    assert cells(found)["ASR after, %"] is None


def test_thefts_are_told_of_the_victim_and_of_one_kind_of_replica(tmp_path):
    made = Made(tmp_path)
    for victim, ace in zip(VARIANTS, (1.0, 1.1, 1.2, 1.3), strict=True):
        made.add(victim, 0, "Digits", "accuracy", 0.9, kind="train", plugin="accuracy")
        for budget in (1000, 8000):
            theft(made, victim, "resnet", 0, "Digits", ace - budget / 1e4, budget)
    theft(made, "darts", "vgg", 0, "Digits", 9.0, 8000)
    found = fig_16.exhibit(made.collected())
    assert [row[0] for row in found.table.rows] == ["DARTS", "DARTS-i", "DARTS-ii", "DARTS-iii"]
    assert found.table.rows[0][-1].value == pytest.approx(0.2)
    assert "The replica is ResNet." in found.caption
    assert not found.missing


def test_poisoning_is_of_the_four_alone(tmp_path):
    made = Made(tmp_path)
    for model in ("darts", "darts_i", "resnet"):
        for rate in (0.1, 0.4):
            more = {"treatment": " + label_flip", "run": f"flip{rate}", "experiment": "label_flip", "access": "training"}
            made.add(model, 0, "Digits", "cad", rate / 2, plugin="labelflip", params={"rate": rate}, **more)
    found = fig_17.exhibit(made.collected())
    assert [row[0] for row in found.table.rows] == ["DARTS", "DARTS-i"]
    assert "rows of DARTS-ii, DARTS-iii" in found.missing


def mitigations(made):
    for k, model in enumerate(VARIANTS):
        made.add(model, 0, "Digits", "accuracy", 0.9 + k / 100, kind="train", plugin="accuracy")
        for goal in ("most_likely", "least_likely"):
            made.add(model, 0, "Digits", "asr", 0.8 - k / 10, plugin="pgd", norm="linf", params={**PGD, "goal": goal})
            made.add(model, 0, "Digits", "asr", 0.1, plugin="pgd", norm="linf", params={**PGD, "goal": goal, "eps": 1 / 255})
        made.add(model, 0, "Digits", "auc", 0.55, plugin="loss", access="score")
    searched(made, "darts", 0, find("snas"), seconds=50.0)
    searched(made, "darts_iii", 0, find("snas"), seconds=250.0, n_step=5, gamma=0.5, damp="weight")
    return made


def test_table_4_has_ours_the_cost_and_the_printed_values(tmp_path):
    found = table_04.exhibit(mitigations(Made(tmp_path)).collected())
    assert [row[0] for row in found.table.rows[:4]] == ["DARTS", "DARTS-i", "DARTS-ii", "DARTS-iii"]
    assert [row[2].value for row in found.table.rows[:4]] == pytest.approx([80, 70, 60, 50])  # at the paper's ε
    assert "membership AUC (loss)" in found.table.columns
    cost = {row[0]: row[-1].value for row, block in zip(found.table.rows, found.table.blocks, strict=True) if block.startswith("searched")}
    assert cost == {"DARTS, searched": 50, "DARTS-iii, searched": 250}
    printed = [row for row, block in zip(found.table.rows, found.table.blocks, strict=True) if block == "the paper, CIFAR-10"]
    assert [cell.value for cell in printed[3][2:6]] == pytest.approx([82.0, 65.6, 84.2, 4.6])
    assert found.table.rows[0][5] is None  # no backdoor: not there, and not 0
    assert "any number of TrojanNN ASR, TrojanNN CAD, poisoning CAD, stealing ACE" in found.missing


def test_a_variant_has_one_row_where_its_training_and_its_attacks_are_of_two_protocols(tmp_path):
    made = Made(tmp_path)
    for model in VARIANTS:
        made.add(model, 0, "Digits", "accuracy", 0.9, kind="train", plugin="accuracy", protocol="sound")
        for goal in ("most_likely", "least_likely"):
            made.add(model, 0, "Digits", "asr", 0.8, plugin="pgd", norm="linf", params={**PGD, "goal": goal}, protocol="custom")
    table = table_04.exhibit(made.collected()).table
    ours = [(row, block) for row, block in zip(table.rows, table.blocks, strict=True) if block.startswith("Digits")]
    assert [row[0] for row, _ in ours] == ["DARTS", "DARTS-i", "DARTS-ii", "DARTS-iii"]
    assert {block for _, block in ours} == {"Digits, sound and custom"}
    assert [cell.value for cell in ours[0][0][1:3]] == pytest.approx([90, 80])
    assert ours[0][0][2].note.endswith("custom protocol")
    made.add("darts", 0, "Digits", "accuracy", 0.7, kind="train", plugin="accuracy", protocol="custom")
    blocks = {block for block in table_04.exhibit(made.collected()).table.blocks if block.startswith("Digits")}
    assert blocks == {"Digits, sound", "Digits, custom"}, "two trainings are two rows"


def test_names_lie_on_no_other_name():
    figure, axes = grid(1, 1, 4, 6)
    points = {f"a model {i}": ((0.5 + 0.001 * i, 0.5), "#000000") for i in range(8)}
    for (x, y), _ in points.values():
        axes[0, 0].plot(x, y, "o")
    axes[0, 0].set(xlim=(0, 1), ylim=(0, 1))
    label(axes[0, 0], points)
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in axes[0, 0].texts]  # without the line that leads to the point
    assert len(boxes) == 8
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


def test_all_are_made_of_nothing_and_say_what_they_need(tmp_path):
    for module in (fig_11, fig_12, fig_14, fig_15, fig_16, fig_17, table_04):  # cells of the other two are data
        assert module.exhibit(Collected.read(tmp_path)).missing
    assert named("darts") == find("darts")
    assert named("no cell") is None


@pytest.mark.slow
@pytest.mark.parametrize("models", [("darts", "resnet"), (*NAS, *VARIANTS[1:], *MANUAL)])
def test_all_can_be_drawn_with_few_and_with_many(tmp_path, models):
    made = mitigations(Made(tmp_path, models))
    for k, model in enumerate(models):
        for seed in range(2):
            contour(made, model, seed, 1.0 + k)
            contour(made, model, seed, 1.0, plugin="inputcontours")
            variance(made, model, seed, 10.0 + k + seed)
            hardened(made, model, seed, 0.9, 0.8 - k / 100, 0.4 + k / 100)
    for module in ALL:
        found = module.exhibit(made.collected())
        if found.figure is not None:
            found.figure.savefig(BytesIO(), format="svg")
