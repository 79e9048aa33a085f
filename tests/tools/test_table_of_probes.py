"""The probe benchmark: what it runs, what it reads of rows, its tables and picture by hand, and that it does nothing twice."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from robnas import plugins
from robnas.configuration import files
from robnas.errors import UserError
from robnas.results import Row, Rows
from robnas.space import published
from robnas.space.genotype import Genotype

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import probe_cloud as cloud
import probe_tables
import table_of_probes as tool

REPOSITORY = Path(__file__).parents[2]


def run(network, seed=0, group="random", accuracy=0.9, robust=0.5, attacks=None, **explanations):
    own = {"cell/normal/depth": 3.0} | explanations if group != "manual" else explanations
    shares = {"accuracy": accuracy, "robust_accuracy": robust, "n": 360}
    return {"network": network, "group": group, "seed": seed, "family": "nas", "attacks": attacks or {}, "explanations": own} | shares


def cells_of(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


FIVE = [
    run(f"random_{i}", attacks={"pgd": i / 10, "hopskipjump": float(i), "badnets": 0.5}, **{"cell/normal/depth": depth, "mine/x": -i})
    for i, depth in enumerate((2.0, 3.0, 4.0, 5.0, 6.0))
]


# What is run


def test_random_cells_are_files_that_are_the_same_again(tmp_path):
    drawn = cloud.networks(2, ["darts", "darts_ii", "resnet"], tmp_path)
    assert [(n.name, n.group) for n in drawn] == [
        ("random_000", "random"),
        ("random_001", "random"),
        ("darts", "published"),
        ("darts_ii", "darts"),
        ("resnet", "manual"),
    ]
    written = {n.network: Path(n.network).stat().st_mtime_ns for n in drawn[:2]}
    assert all(Genotype.from_yaml(Path(path).read_text()).normal.depth >= 2 for path in written)
    assert cloud.networks(3, [], tmp_path)[:2] == drawn[:2]
    assert {path: Path(path).stat().st_mtime_ns for path in written} == written


def test_a_cell_of_ones_own_can_be_placed_too(tmp_path):
    mine = Path(cloud.networks(1, [], tmp_path)[0].network).rename(tmp_path / "mine.yaml")
    (placed,) = cloud.networks(0, [str(mine)], tmp_path)
    assert placed == ("mine", "custom", str(mine))
    assert "cell/normal/depth" in cloud.explanations(placed, [])
    assert cloud.explanations(cloud.Network("resnet", "manual", "resnet"), []) == {"training/accuracy": None}


def test_what_is_done_with_a_network():
    network = cloud.Network("random_000", "random", "runs/cells/random_000.yaml")
    fit = cloud.training(network, 3, Path("runs"), ["trainer.max_epochs=1"])
    assert fit[:3] == ["fit", "--config", "classify.yaml"]
    assert fit[-1] == "--trainer.max_epochs=1"  # behind the recipe's own
    assert {"--seed_everything=3", "--data.members=0.5", "--probes.zero_cost=zero_cost"} <= set(fit)
    more = cloud.further(network, 3, Path("runs/probes/abc"), Path("runs"))
    assert set(more) == {"probe", "attack", *cloud.TRAINED}
    assert more["probe"][:2] == ["probe", "runs/probes/abc"]
    assert "--attacks.pgd.eps=[2/255,3/255,5/255]" in more["attack"]
    assert "--attacks.label_flip.clean=runs/probes/abc" in more["label_flip"]
    assert "--model.init_from=runs/probes/abc" in more["badnets"]
    assert {"--seed_everything=103", "--model.network=resnet"} <= set(more["knockoff"])  # never the victim's seed
    assert {config for config, _ in cloud.TRAINED.values()} <= set(files.shipped())


def test_probes_that_are_not_installed_are_left_out(monkeypatch):
    monkeypatch.setattr(plugins, "names", lambda group: ["contours"])
    found = cloud.blocks("probes", {"contours": {"points": 5}, "again": {"class_path": "contours"}, "no_such": {"x": 1}})
    assert found == ["--probes.contours=contours", "--probes.contours.points=5", "--probes.again=contours"]


def test_every_named_network_is_one():
    assert set(cloud.PLACED) <= {*published.names(), *plugins.names("robnas.models")}
    groups = [cloud.group_of(name) for name in cloud.PLACED]
    assert [groups.count(group) for group in ("published", "manual", "darts", "custom")] == [10, 7, 3, 0]


# What is read


def test_numbers_of_rows(tmp_path):
    swept = [Row("asr", asr, plugin="pgd", params={"eps": eps / 255}) for eps, asr in zip((2, 3, 5), (0, 0.5, 1), strict=True)]
    probes = [
        Row("gradient_variance", 2.0, kind="probe", plugin="gradientvariance", params={"at": "test", "initialisation": None}),
        Row("gradient_variance", 5.0, kind="probe", plugin="gradientvariance", params={"at": "test", "initialisation": "own"}),
        Row("nwot", 7.0, kind="probe", plugin="zerocost", params={"at": "fit_start"}),
        Row("steps_to_loss_0.5", None, kind="probe", plugin="convergence", params={"at": "fit_end"}),
        Row("ntk", None, kind="probe", plugin="ntk", params={"at": "fit_start"}),
    ]
    clean, flipped = tmp_path / "clean", tmp_path / "flipped"
    Rows(clean / "results.jsonl").write(
        [
            Row("accuracy", 0.9, kind="train", plugin="accuracy", n=360, family="nas"),
            Row("parameters", 1000, kind="train", plugin="size"),
            Row("asr", 0.1, plugin="pgd", params={"eps": 8 / 255}),  # of somebody else
            Row("robust_accuracy", 0.4, plugin="pgd", params={"eps": 3 / 255}),
            Row("robust_accuracy", 0.1, plugin="pgd", params={"eps": 5 / 255}),
            Row("median_distance", 0.7, plugin="hopskipjump"),
            *swept,
            *probes,
        ]
    )
    Rows(flipped / "results.jsonl").write([Row("cad", 0.25, plugin="labelflip"), Row("accuracy", 0.65, kind="train", plugin="accuracy")])
    found = cloud.numbers(cloud.Network("darts_ii", "darts", "darts_ii"), 0, clean, {"label_flip": flipped})
    assert (found["accuracy"], found["robust_accuracy"]) == (0.9, 0.4)
    assert {k: v for k, v in found["attacks"].items() if v is not None} == {"pgd": 0.5, "hopskipjump": 0.7, "label_flip": 0.25}
    own = found["explanations"]
    assert (own["gradientvariance/gradient_variance"], own["gradientvariance/gradient_variance, own"]) == (2.0, 5.0)
    assert (own["zerocost/nwot, before"], own["size/parameters"], own["training/accuracy"]) == (7.0, 1000, 0.9)
    assert (own["convergence/steps_to_loss_0.5"], own["ntk/ntk, before"]) == (math.inf, None)  # never reached; not known
    assert (own["cell/normal/depth"], own["cell/normal/width"], own["cell/normal/skips"]) == (3, 3, 0)  # Table 3


def test_a_radius_that_was_not_attacked_is_no_mean():
    rows = [Row("asr", 0.5, plugin="pgd", params={"eps": eps / 255}) for eps in (2, 3)]
    assert cloud.found(cloud.ATTACKS["pgd"], rows) is None


# What is shown


def test_explanation_and_attack_by_hand():
    head, _, *lines = probe_tables.about_explanations(FIVE).split("\n\n")[0].splitlines()
    assert cells_of(head) == ["explanation", "PGD", "HopSkipJump"]  # BadNets found the same everywhere
    first, mine = (cells_of(line) for line in lines)
    assert first[0] == "depth of the normal cell"
    assert first[1] == "**1.00** [1.00, 1.00]"  # 2 of 120 orders do as well: all rows being one, the table is no larger than that
    assert first[2] == "**-1.00** [-1.00, -1.00]"  # a longer distance is less vulnerable
    assert mine[0] == "mine/x"  # of a probe that the tool does not know
    assert mine[1] == "**-1.00** [-1.00, -1.00]"


def test_many_cells_are_more_than_chance():
    rng = np.random.default_rng(0)
    rows = [{"contours/rise": float(i), "mine/x": rng.normal(), "size/parameters": rng.normal()} for i in range(30)]
    text = probe_tables.about_explanations([run(f"random_{i}", attacks={"pgd": float(i)}, **row) for i, row in enumerate(rows)])
    assert "| contour of weights: rise | **1.00** [1.00, 1.00] |" in text
    assert "1 of 3 are, the largest: contour of weights: rise for PGD (+1.00, given the parameters +1.00)." in text


def test_attack_and_attack_by_hand():
    twisted = [{**one, "attacks": {**one["attacks"], "noise": [0.1, 0.2, 0.4, 0.3, 0.5][i]}} for i, one in enumerate(FIVE)]
    lines = probe_tables.about_connections(twisted).split("\n\n")[0].splitlines()
    assert cells_of(lines[0]) == ["", "noise", "HopSkipJump"]
    assert cells_of(lines[2])[1].startswith("0.80")  # nine pairs of ten
    assert cells_of(lines[3])[1] == ""
    assert cells_of(lines[3])[2].startswith("-0.80")


def test_seeds_are_averaged_and_compared():
    runs = [
        run(f"random_{i}", seed, attacks={"pgd": value}) for seed, row in enumerate([(1, 2, 3), (1, 4, 3)]) for i, value in enumerate(row)
    ]
    assert probe_tables.values(runs, "attacks", "pgd").tolist() == [1, 3, 3]
    assert probe_tables.reliability(runs, "attacks", "pgd") == pytest.approx(1 / 3)
    assert cells_of(probe_tables.about_attacks(runs).splitlines()[2])[-1] == "0.33"
    assert probe_tables.reliability(runs[:3], "attacks", "pgd") is None
    assert "--seeds 0 1" in probe_tables.about_attacks(runs[:3])


def test_what_is_missing_stays_missing():
    runs = [*FIVE, run("random_5", attacks={"pgd": None}, **{"mine/x": "inf"})]
    assert math.isnan(probe_tables.values(runs, "attacks", "pgd")[-1])
    assert probe_tables.values(runs, "explanations", "mine/x")[-1] == math.inf
    assert probe_tables.explained([run("a", **{"mine/x": None}), run("b", **{"mine/x": None})]) == {}


def test_cells_that_are_missing_are_named():
    runs = [run(f"random_{i:03d}", attacks={"pgd": i / 10 if i < 4 else None}, **{"mine/x": i}) for i in (0, 1, 3, 4)]
    attacks = probe_tables.about_attacks(runs)
    assert "| PGD (3 of 4 cells) |" in attacks
    assert "Without random_002, whose training failed" in attacks
    assert "over 4 random cells (3 where fewest have both numbers)" in probe_tables.about_explanations(runs)
    assert "Without" not in probe_tables.about_attacks([run(f"random_{i:03d}", attacks={"pgd": i}) for i in range(3)])


def test_where_named_networks_stand():
    named = [
        run(
            "darts", group="published", accuracy=0.95, robust=0.25, attacks={"pgd": 0.25, "hopskipjump": 0.5}, **{"cell/normal/skips": 2.0}
        ),
        run("resnet", group="manual", attacks={"pgd": 9.0}),
    ]
    lines = probe_tables.about_names([*FIVE, *named], FIVE).split("\n\n")[0].splitlines()
    assert cells_of(lines[2]) == ["DARTS", "3", "2", "95.0", "25.0", "60", "80"]  # of 0 … 0.4 three are below; of distances four are beyond
    assert cells_of(lines[3]) == ["ResNet", "–", "–", "90.0", "50.0", "100", "–"]


def test_nothing_to_correlate_is_no_table():
    alone = [run("darts", group="published")]
    assert probe_tables.tables(alone) == ""
    assert "random cells" in probe_tables.tables([*FIVE, *alone])


def test_the_picture_is_the_same_for_the_same_numbers(tmp_path):
    named = [
        run(name, group=group, robust=0.1 * i)
        for i, (name, group) in enumerate([("darts", "published"), ("darts_i", "darts"), ("darts_iii", "darts")])
    ]
    for name in ("a.svg", "b.svg"):
        tool.picture([*FIVE, *named, run("resnet", group="manual"), run("vgg", group="manual", robust=None)], tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--placed", "resnett"], "unknown network 'resnett'.*resnet"),
        (["--placed", "resnet", "resnet"], "--placed: .* names one twice"),
        (["--cells", "1"], "--cells: 1 is not at least 2"),
        (["--seeds", "0", "0"], "--seeds: .* names a seed twice"),
    ],
)
def test_wrong_arguments_are_one_line(arguments, says):
    with pytest.raises(UserError, match=says):
        tool.main(arguments)


SMALL = ("trainer.limit_train_batches=2", "trainer.max_epochs=1", "trainer.accelerator=cpu")


@pytest.mark.slow
def test_the_same_command_does_nothing_twice(tmp_path):
    where = ["--runs", "runs", "--out", "docs/p.md", "--numbers", "numbers.json", "--workers", "1"]
    told = [sys.executable, str(REPOSITORY / "tools" / "table_of_probes.py"), *where, "--cells", "2", "--placed", "--flags", *SMALL]
    done = subprocess.run(told, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    kept = json.loads((tmp_path / "numbers.json").read_text())["runs"]
    assert [one["network"] for one in kept] == ["random_000", "random_001"]
    assert all(one["attacks"]["label_flip"] is not None and one["robust_accuracy"] is not None for one in kept)
    assert {"contours/rise", "zerocost/nwot, before", "gradientvariance/gradient_variance, kaiming"} <= set(kept[0]["explanations"])
    assert not list((tmp_path / "runs").glob("*-clean"))  # the clean training is the victim's own
    now = {path: path.read_bytes() for path in [*tmp_path.glob("runs/*/*/*.json*"), tmp_path / "numbers.json"]}
    again = subprocess.run(told, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again
    assert {path: path.read_bytes() for path in now} == now


def test_a_network_far_from_the_cloud_stands_at_the_edge_and_says_where_it_is():
    points = {"a": (90.0, 50.0), "b": (95.0, 60.0), "near": (85.0, 40.0), "far": (35.0, 5.0)}
    moved, far = tool.near(points, [points["a"], points["b"]])
    assert far == {"far": (35.0, 5.0)}
    assert moved == points | {"far": (84.0, 5.0)}
    assert tool.near(points, []) == (points, {})
