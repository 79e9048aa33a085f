"""Two studies side by side: equal attacks beside each other whatever else each study has, and what only one of them has."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from laid_runs import lay
from robnas.report.changed import changes
from robnas.report.collected import Collected
from robnas.report.compare import compare
from robnas.report.exhibit import Cell, Exhibit
from robnas.report.only import only


def pgd(eps: float, steps: int = 20, **more: object) -> dict[str, object]:
    return {"goal": "untargeted", "eps": eps / 255, "steps": steps, **more}


def both(root: Path, attacks: Iterable[dict[str, object]], theirs: Iterable[dict[str, object]]) -> tuple[Collected, Collected]:
    """Study a, where PGD with these settings breaks DARTS in 20%, and b, where with theirs it is 80%."""
    for name, asr, own in (("a", 0.2, attacks), ("b", 0.8, theirs)):
        lay(root / name, "darts", asr, attacks=tuple(own))
    return Collected.read(root / "a"), Collected.read(root / "b")


def compared(first: Collected, second: Collected) -> list[tuple[object, object]]:
    """(attack, difference in points), clean accuracy left out."""
    (exhibit,) = changes(first, second, "a", "b")
    rows = exhibit.table.rows if exhibit.table else ()
    return [(row[2], round(row[5].value or 0)) for row in rows if isinstance(row[5], Cell) and not str(row[2]).startswith("clean")]


def test_two_studies_side_by_side(tmp_path: Path) -> None:
    for name, asr in (("a", 0.2), ("b", 0.8)):
        lay(tmp_path / name, "darts", asr)
        lay(tmp_path / name, "resnet", 0.5, "manual")
    lay(tmp_path / "b", "vgg", 0.5, "manual")
    first, second = (Collected.read(tmp_path / name) for name in "ab")
    (exhibit,) = changes(first, second, "a", "b")
    assert exhibit.table is not None
    rows = exhibit.table.rows
    assert [(row[0], row[2], row[-1]) for row in rows] == [
        ("DARTS", "PGD (untargeted, ε = 8/255), ASR % ↑", "apart"),
        ("DARTS", "clean, %", "equal"),
        ("ResNet", "clean, %", "equal"),
        ("ResNet", "PGD (untargeted, ε = 8/255), ASR % ↑", "equal"),
    ]
    assert isinstance(rows[0][5], Cell)
    assert rows[0][5].value == pytest.approx(60)
    written, _ = compare(first, second)
    assert written == tmp_path / "b" / "against-a.html"
    assert "Only b has models VGG." in written.read_text()


def test_attacks_of_other_settings_are_not_compared_though_each_study_writes_them_alike(tmp_path: Path) -> None:
    first, second = both(tmp_path, [pgd(8, steps=20)], [pgd(8, steps=100)])
    assert compared(first, second) == []
    said = only(first, second, "a", "b")
    assert "Only a has PGD: untargeted, ε = 8/255, steps 20." in said
    assert "Only b has PGD: untargeted, ε = 8/255, steps 100." in said


def test_every_epsilon_that_both_have_is_compared_whichever_each_matrix_shows(tmp_path: Path) -> None:
    """Of six the matrix of the one shows ε = 8/255, of five that of the other 4/255."""
    first, second = both(tmp_path, map(pgd, (1, 2, 4, 8, 16, 32)), map(pgd, (1, 2, 4, 8, 12)))
    assert compared(first, second) == [(f"PGD (untargeted, ε = {eps}/255), ASR % ↑", 60) for eps in (1, 2, 4, 8)]
    assert "Only a has PGD: untargeted, ε = 16/255; untargeted, ε = 32/255." in only(first, second, "a", "b")


def test_an_argument_that_only_a_later_version_has_makes_no_other_attack_unless_it_tells_two_apart(tmp_path: Path) -> None:
    first, second = both(tmp_path / "new", [pgd(8)], [pgd(8, momentum=0.0)])
    assert compared(first, second) == [("PGD (untargeted, ε = 8/255), ASR % ↑", 60)]
    assert any("momentum" in text for text in only(first, second, "a", "b"))
    assert compared(*both(tmp_path / "two", [pgd(8)], [pgd(8, momentum=0.0), pgd(8, momentum=0.9)])) == []


def test_of_two_data_sets_each_is_compared_with_itself(tmp_path: Path) -> None:
    for name, sets in (("a", ("Digits", "CIFAR10")), ("b", ("CIFAR10", "CIFAR100"))):
        for dataset in sets:
            lay(tmp_path / name, "darts", 0.5, experiment=dataset, dataset=dataset)
    exhibits = changes(*(Collected.read(tmp_path / name) for name in "ab"), "a", "b")
    assert [exhibit.key for exhibit in exhibits] == ["changes-cifar10-sound"]


def test_nothing_in_common_is_said(tmp_path: Path) -> None:
    lay(tmp_path / "a", "darts", 0.5)
    lay(tmp_path / "b", "darts", 0.5, protocol="paper")
    (exhibit,) = changes(*(Collected.read(tmp_path / name) for name in "ab"), "a", "b")
    assert exhibit.missing


def test_a_bug_in_one_exhibit_ends_no_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        lay(tmp_path / name, "darts", 0.2)

    def fails(*_: object) -> list[Exhibit]:
        raise TypeError("of no kind")

    monkeypatch.setattr("robnas.report.compare.changes", fails)
    written, _ = compare(*(Collected.read(tmp_path / name) for name in "ab"))
    assert "b: changes: could not be made: TypeError: of no kind" in written.read_text()
