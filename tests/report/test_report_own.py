"""A report of a network of one's own, on images of one's own: what its owner must find, and what is not their business."""

import json
from pathlib import Path

from robnas.report.collected import Collected
from robnas.report.exhibit import Cell
from robnas.report.finding import sentences
from robnas.report.matrix import matrices
from robnas.report.write import report
from robnas.results import Row, Rows


def attacked(root: Path, victim: str = "082cf24a", asr: float = 0.75, dataset: str = "ImageFolder") -> Path:
    """A run folder of one network that was trained elsewhere: two attacks, of which noise was on fewer images."""
    same = {"job": f"job {victim}", "dataset": dataset, "model": "Net", "family": "custom", "victim": victim, "protocol": "sound"}
    rows = []
    for plugin, n, share, clean in (("noise", 100, 0.1, 0.97), ("pgd", 400, asr, 0.99)):
        attack = {"kind": "attack", "plugin": plugin, "attack_seed": 0, "params": {"eps": 8 / 255, "goal": "untargeted"}, "access": "white"}
        for metric, value in (("asr", share), ("robust_accuracy", clean * (1 - share)), ("clean_accuracy", clean)):
            rows.append(Row(metric, value, n=n, ci=(value - 0.01, value + 0.01), **attack, **same))
    folder = root / "attack" / victim
    Rows(folder / "results.jsonl").write(rows)
    (folder / "job.json").write_text(json.dumps({"identity": victim.ljust(40, "0"), "state": "finished", "command": ["robnas", "attack"]}))
    (folder / "config.yaml").write_text("model: {class_path: OwnModel}\n")
    return folder


def test_clean_accuracy_is_what_the_largest_attack_measured(tmp_path: Path) -> None:
    folder = attacked(tmp_path)
    few = Row(
        "clean_accuracy", 1.0, n=20, job="later", dataset="ImageFolder", model="Net", victim="082cf24a", protocol="sound", plugin="nes"
    )
    Rows(folder.with_name("another") / "results.jsonl").write([few])  # a second command has a folder of its own, and is no second seed
    (matrix,) = matrices(Collected.read(tmp_path))
    assert matrix.table is not None
    assert matrix.table.columns[:2] == ("model", "clean, %"), "parameters were not measured: no column"
    clean = matrix.table.rows[0][1]
    assert isinstance(clean, Cell)
    assert (clean.text, clean.note) == ("99.0", "n = 400")


def test_ones_own_images_are_no_reduction_and_stand_ins_only_for_the_papers_models(tmp_path: Path) -> None:
    attacked(tmp_path / "own")
    attacked(tmp_path / "digits", dataset="Digits")
    for name in ("own", "digits"):
        assert {found.reduced for found in Collected.read(tmp_path / name).rows} == {""}
    nas = attacked(tmp_path / "digits", "f00d") / "results.jsonl"
    nas.write_text(nas.read_text().replace('"custom"', '"nas"').replace("ImageFolder", "Digits"))
    assert {found.reduced for found in Collected.read(tmp_path / "digits").rows} == {"Digits"}


def test_the_finding_is_of_the_network(tmp_path: Path) -> None:
    attacked(tmp_path)
    collected = Collected.read(tmp_path)
    assert sentences(collected, ()) == [
        "Net: 99.0% [98.0, 100.0] of clean images right; of the attacks made PGD (untargeted, ε = 8/255) breaks most, "
        "75.0% [74.0, 76.0] of the 400 images it was tried on, which leaves a robust accuracy of 24.8% [23.8, 25.8]."
    ]


def test_two_networks_of_one_name_are_two_models(tmp_path: Path) -> None:
    attacked(tmp_path)
    attacked(tmp_path, "1b77e0aa", 0.25)
    (matrix,) = matrices(Collected.read(tmp_path))
    assert matrix.table is not None
    assert sorted(str(row[0]) for row in matrix.table.rows) == ["Net (082cf2)", "Net (1b77e0)"]


def test_the_page_says_nothing_of_families_nor_of_published_numbers(tmp_path: Path) -> None:
    attacked(tmp_path)
    page = report(tmp_path)[0].read_text()
    for not_here in ("NAS model", "claims", "Which claims", "Ours against published", 'id="fig-18"', 'class="reduced"', 'class="banner"'):
        assert not_here not in page.partition("<body>")[2].partition("<script>")[0].replace("data-runs", ""), not_here
    assert 'class="aside"' in page
    assert "Fig. 6 Model poisoning: trainings with flipped labels" in page
    assert 'class="empty"' not in page
