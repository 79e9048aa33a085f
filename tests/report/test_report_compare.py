"""Two studies side by side: equal attacks beside each other whatever else each study has, and what only one of them has."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from laid_runs import lay
from robnas.report.changed import Both, changes
from robnas.report.collected import Collected
from robnas.report.columns import Column, by_size
from robnas.report.compare import compare
from robnas.report.exhibit import Cell
from robnas.report.made import made
from robnas.report.matrix import matrices
from robnas.report.only import only

Settings = dict[str, object]
EPS8 = "PGD (untargeted, ε = 8/255), ASR % ↑"
NOTHING: list[str] = []


def pgd(eps: float, steps: int = 20, **more: object) -> Settings:
    return {"goal": "untargeted", "eps": eps / 255, "steps": steps, **more}


def both(root: Path, attacks: Iterable[Settings], theirs: Iterable[Settings]) -> tuple[Collected, Collected]:
    """Study a, where PGD with these settings breaks DARTS in 20%, and b, where with theirs it is 80%."""
    for name, asr, own in (("a", 0.2, attacks), ("b", 0.8, theirs)):
        lay(root / name, "darts", asr, attacks=tuple(own))
    return Collected.read(root / "a"), Collected.read(root / "b")


def read(root: Path) -> tuple[Collected, Collected]:
    return Collected.read(root / "a"), Collected.read(root / "b")


def rows(studies: tuple[Collected, Collected]) -> list[tuple[object, ...]]:
    """What differs, then what is equal."""
    return [row for exhibit in changes(*studies, "a", "b") if exhibit.table for row in exhibit.table.rows]


def compared(studies: tuple[Collected, Collected]) -> list[object]:
    """What of attacks is compared, clean accuracy left out."""
    return [row[2] for row in rows(studies) if not str(row[2]).startswith("clean")]


def alone(studies: tuple[Collected, Collected]) -> list[str]:
    return only(*studies, "a", "b")


def rewrite(folder: Path, change: Settings, metric: str = "asr") -> None:
    """Other values of some fields in a run's rows."""
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    changed = [row | change if row["metric"] == metric else row for row in lines]
    (folder / "results.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in changed))


def test_two_studies_side_by_side(tmp_path: Path) -> None:
    for name, asr in (("a", 0.2), ("b", 0.8)):
        lay(tmp_path / name, "darts", asr)
        lay(tmp_path / name, "resnet", 0.5, "manual")
    lay(tmp_path / "b", "vgg", 0.5, "manual")
    found = rows(read(tmp_path))
    assert [(row[0], row[1], row[2], row[-1]) for row in found] == [
        ("DARTS", "NAS", EPS8, "apart"),
        ("DARTS", "NAS", "clean, %", "equal"),
        ("ResNet", "manual", "clean, %", "equal"),
        ("ResNet", "manual", EPS8, "equal"),
    ]
    assert isinstance(found[0][5], Cell)
    assert found[0][5].value == pytest.approx(60)
    written, (differ, equal) = compare(*read(tmp_path))
    assert written == tmp_path / "b" / "against-a.html"
    assert (tmp_path / "b" / "against-a-files").is_dir()
    assert differ.title == "Digits, sound protocol: 4 numbers that both have, 1 with 95% intervals apart, 3 equal"
    assert [(len(exhibit.table.rows), exhibit.table.strips) for exhibit in (differ, equal) if exhibit.table] == [(1, False), (3, False)]
    assert "Only b has models VGG." in written.read_text()
    assert alone(read(tmp_path)) == ["Only b has models VGG."]


def test_of_equal_studies_it_is_said_that_all_is_equal(tmp_path: Path) -> None:
    for name in "ab":
        lay(tmp_path / name, "darts", 0.2)
    (exhibit,) = changes(*read(tmp_path), "a", "b")
    assert (exhibit.title, exhibit.folded) == ("Digits, sound protocol: 2 numbers that both have, 2 equal", True)
    assert "Nothing: both have the same models" in compare(*read(tmp_path))[0].read_text()


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (Cell(20.0, 10.0, 30.0), Cell(50.0, 40.0, 60.0), "apart"),
        (Cell(50.0, 40.0, 60.0), Cell(20.0, 10.0, 30.0), "apart"),
        (Cell(50.0, 40.0, 60.0), Cell(30.0, 10.0, 45.0), "overlap"),
        (Cell(50.0), Cell(20.0, 10.0, 30.0), "no interval"),
        (Cell(50.0, 40.0, 60.0), Cell(20.0, None, 30.0), "no interval"),
        (Cell(0.1 + 0.2), Cell(0.3), "equal"),
    ],
)
def test_whether_intervals_are_apart(before: Cell, after: Cell, verdict: str) -> None:
    assert Both(("darts", "nas"), "NAS", "", before, after).verdict == verdict


def test_what_is_apart_stands_first_and_what_is_equal_last(tmp_path: Path) -> None:
    for model, asr in (("amoebanet", 0.5), ("darts", 0.52), ("enas", 0.9), ("resnet", 0.1)):
        lay(tmp_path / "a", model, 0.5)
        lay(tmp_path / "b", model, asr)
    found = [(row[0], row[-1]) for row in rows(read(tmp_path)) if row[2] == EPS8]
    assert found == [("ENAS", "apart"), ("ResNet", "apart"), ("DARTS", "overlap"), ("AmoebaNet", "equal")]


def test_attacks_of_other_settings_are_not_compared_though_each_study_writes_them_alike(tmp_path: Path) -> None:
    studies = both(tmp_path, [pgd(8, steps=20)], [pgd(8, steps=100)])
    assert compared(studies) == []
    assert alone(studies) == ["Only a has PGD: untargeted, ε = 8/255, steps 20.", "Only b has PGD: untargeted, ε = 8/255, steps 100."]


def test_every_epsilon_that_both_have_is_compared_whichever_each_matrix_shows(tmp_path: Path) -> None:
    studies = both(tmp_path, map(pgd, (1, 2, 4, 8, 16, 32)), map(pgd, (1, 2, 4, 8, 12)))
    shown = [
        column for study in studies for matrix in matrices(study) if matrix.table for column in matrix.table.columns if "PGD" in column
    ]
    assert shown == [EPS8, EPS8.replace("8/", "4/")]
    assert compared(studies) == [f"PGD (untargeted, ε = {eps}/255), ASR % ↑" for eps in (1, 2, 4, 8)]
    assert alone(studies) == ["Only a has PGD: untargeted, ε = 16/255; untargeted, ε = 32/255.", "Only b has PGD: untargeted, ε = 12/255."]


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        ([pgd(8)], [pgd(8, momentum=0.0)], [f"{EPS8}; momentum 0 in b alone"]),
        ([pgd(8, momentum=0.5)], [pgd(8)], [f"{EPS8}; momentum 0.5 in a alone"]),
        # an argument with several values makes several attacks: which of them is the other's?
        ([pgd(8)], [pgd(8, momentum=0.0), pgd(8, momentum=0.9)], NOTHING),
        ([pgd(8, momentum=0.0), pgd(8, momentum=0.9)], [pgd(8)], NOTHING),
        # but only where it does
        (
            [pgd(4), pgd(8)],
            [pgd(4, momentum=0), pgd(4, momentum=0.9), pgd(8, momentum=0)],
            [f"{EPS8}; momentum 0 in b alone"],
        ),
        ([pgd(8)], [pgd(8), pgd(8, momentum=0.9)], [EPS8]),  # the equal one
        ([pgd(8)], [{"goal": "untargeted", "steps": 20}], NOTHING),  # ε tells attacks apart though one does not say it
        ([{"iterations": 20}], [{"steps": 20}], NOTHING),
        ([pgd(8, confidence=0)], [pgd(8, confidence=0.0)], [EPS8]),
        ([pgd(8)], [{"goal": "untargeted", "eps": 0.031372549, "steps": 20}], [EPS8]),
        ([pgd(8, pool_data=None)], [pgd(8, pool_data="cifar100")], NOTHING),
        ([pgd(8, victim="runs/a")], [pgd(8, victim="runs/b")], [EPS8]),
        # another number of images is another n of the same attack
        ([pgd(8, max_inputs=100)], [pgd(8, max_inputs=200)], [f"{EPS8}; max inputs 100 and 200"]),
        ([pgd(8, max_inputs=100)], [pgd(8, max_inputs=150), pgd(8, max_inputs=200)], [f"{EPS8}; max inputs 100 and 200"]),
        ([pgd(8, max_inputs=100), pgd(8, max_inputs=150)], [pgd(8, max_inputs=100)], [EPS8]),
    ],
)
def test_which_attacks_are_the_same(tmp_path: Path, mine: list[Settings], theirs: list[Settings], expected: list[str]) -> None:
    assert compared(both(tmp_path, mine, theirs)) == expected


def test_what_is_compared_is_in_no_one_alone_and_what_only_one_knows_is_said_once(tmp_path: Path) -> None:
    studies = both(tmp_path, [pgd(4), pgd(8)], [pgd(8, momentum=0.0)])
    assert alone(studies) == ["Only a has PGD: untargeted, ε = 4/255."]
    square = lay(tmp_path / "b", "darts", 0.5, experiment="square", attacks=(pgd(8),))
    rewrite(square, {"plugin": "square"})
    assert alone(read(tmp_path)) == ["Only b has attacks and probes Square.", "Only a has PGD: untargeted, ε = 4/255."]
    assert alone(read(tmp_path)[::-1]) == ["Only a has attacks and probes Square.", "Only b has PGD: untargeted, ε = 4/255."]


def test_settings_stand_in_the_order_of_their_size() -> None:
    columns = [Column("knockoff", f'{{"budget": {budget}}}', "ace") for budget in (1000, 100, 300)]
    assert by_size(columns) == [columns[1], columns[2], columns[0]]


def test_a_study_that_two_versions_made_is_compared_as_a_whole(tmp_path: Path) -> None:
    """In the first one model's rows know an argument and the other's do not; in the second both do."""
    for name, of_resnet in (("a", pgd(8)), ("b", pgd(8, momentum=0))):
        lay(tmp_path / name, "darts", 0.5, attacks=(pgd(8, momentum=0),))
        lay(tmp_path / name, "resnet", 0.5, attacks=(of_resnet,))
    assert [(row[0], row[2]) for row in rows(read(tmp_path)) if "PGD" in str(row[2])] == [
        ("DARTS", EPS8.replace("255", "255, momentum 0")),
        ("ResNet", f"{EPS8}; momentum 0 in b alone"),
    ]
    assert alone(read(tmp_path)) == []


def test_a_model_is_the_same_however_it_is_spelt_and_whatever_family_it_is_counted_to(tmp_path: Path) -> None:
    lay(tmp_path / "a", "pc_darts", 0.5)
    lay(tmp_path / "b", "PC-DARTS", 0.5, "custom")
    assert [row[:3] for row in rows(read(tmp_path))][-1] == ("PC-DARTS", "NAS, then custom", EPS8)
    assert alone(read(tmp_path)) == []


def test_what_only_one_was_attacked_by_is_said_of_each_model(tmp_path: Path) -> None:
    """What was trained adversarially is a model of its own."""
    for name, more in (("a", ()), ("b", (pgd(4), pgd(16)))):
        lay(tmp_path / name, "darts", 0.5, attacks=(pgd(4), pgd(8), pgd(16)))
        folder = lay(tmp_path / name, "darts", 0.1, experiment="adversarial", attacks=(pgd(8), *more), job="f00d")
        (folder / "config.yaml").write_text("model: {class_path: robnas.tasks.AdversarialClassifier}\n")
    assert alone(read(tmp_path)) == ["Only b has on DARTS, adversarially trained: PGD (2 settings)."]
    shutil.rmtree(tmp_path / "a" / "adversarial")
    assert alone(read(tmp_path)) == ["Only b has models DARTS, adversarially trained."]


def test_of_two_data_sets_each_is_compared_with_itself(tmp_path: Path) -> None:
    for name, sets in (("a", ("digits", "cifar10")), ("b", ("cifar10", "cifar100"))):
        for dataset in sets:
            attacks = (pgd(8), pgd(16)) if (name, dataset) in {("a", "cifar10"), ("b", "cifar100")} else (pgd(8),)
            lay(tmp_path / name, "darts", 0.5, experiment=dataset, dataset=dataset, attacks=attacks)
    exhibits = changes(*read(tmp_path), "a", "b")
    assert [exhibit.key for exhibit in exhibits] == ["equal-cifar10-sound"]
    assert alone(read(tmp_path)) == [
        "Only a has Digits by the sound protocol.",
        "Only b has CIFAR-100 by the sound protocol.",
        "Only a has PGD, CIFAR-10 by the sound protocol: untargeted, ε = 16/255.",
    ]


def test_nothing_in_common_is_said(tmp_path: Path) -> None:
    lay(tmp_path / "a", "darts", 0.5)
    lay(tmp_path / "b", "darts", 0.5, protocol="paper")
    assert changes(*read(tmp_path), "a", "b") == []
    assert "Nothing can be compared" in compare(*read(tmp_path))[0].read_text()


def test_accuracy_that_an_attack_found_is_not_held_against_a_trainings(tmp_path: Path) -> None:
    """It is of fewer images. And a model that was not attacked is in no matrix."""
    for name in "ab":
        lay(tmp_path / name, "darts", 0.5)
        lay(tmp_path / name, "vgg", 0.5, attacks=())
    files = (tmp_path / "b" / "classify").glob("*/results.jsonl")
    folder = next(path.parent for path in files if "darts" in path.read_text())
    rewrite(folder, {"kind": "attack", "plugin": "pgd", "metric": "clean_accuracy", "n": 30}, metric="accuracy")
    assert [(row[0], row[2]) for row in rows(read(tmp_path))] == [("DARTS", EPS8)]


def test_a_backdoor_to_another_class_is_another_attack(tmp_path: Path) -> None:
    for name, targets in (("a", {"darts": 0, "resnet": 1}), ("b", {"darts": 3, "resnet": 1})):
        for model, target in targets.items():
            folder = lay(tmp_path / name, model, 0.5, experiment="badnets", attacks=({"share": 0.1, "target": target},))
            rewrite(folder, {"plugin": "badnets", "access": "training"})
    assert [row[0] for row in rows(read(tmp_path)) if "BadNets" in str(row[2])] == ["ResNet"]


def test_success_is_held_against_success_and_cost_against_cost(tmp_path: Path) -> None:
    """Where an argument that only the second knows leaves nothing equal."""
    for name, params in (("a", {"share": 0.1}), ("b", {"share": 0.1, "blend": 1.0})):
        folder = lay(tmp_path / name, "darts", 0.9, experiment="badnets", attacks=(params,))
        rewrite(folder, {"plugin": "badnets", "access": "training"})
        with (folder / "results.jsonl").open("a") as file:
            last = json.loads((folder / "results.jsonl").read_text().splitlines()[-1])
            file.write(json.dumps(last | {"metric": "cad", "value": 0.02, "ci": [0.01, 0.03]}) + "\n")
    found = {str(row[2]): row[3].value for row in rows(read(tmp_path)) if isinstance(row[3], Cell)}
    assert found == pytest.approx({"clean, %": 98, "BadNets, ASR % ↑; blend 1 in b alone": 90, "BadNets, CAD % ↑; blend 1 in b alone": 2})


def test_a_theft_from_nobody_known_is_compared_with_no_other(tmp_path: Path) -> None:
    """Its row has the replica's model alone."""
    for name in "ab":
        victim = lay(tmp_path / name, "darts", 0.5)
        thief = lay(tmp_path / name, "darts", 0.5, seed=1, experiment="knockoff", attacks=({"budget": 100},))
        rewrite(thief, {"plugin": "knockoff", "metric": "ace", "value": 1.0, "ci": None, "access": "training"})
        note = json.loads((thief / "job.json").read_text())
        upstream = json.loads((victim / "job.json").read_text())["identity"] if name == "a" else "0" * 40
        (thief / "job.json").write_text(json.dumps(note | {"upstream": {"victim": upstream}}))
    assert not any("Knockoff" in str(row[2]) for row in rows(read(tmp_path)))
    assert "Only b has Knockoff: 100 queries, victim unknown." in alone(read(tmp_path))


def test_how_they_were_made_says_what_trainings_differ_in(tmp_path: Path) -> None:
    """Not what models of one study differ in. Those on adversarial images are told apart."""

    def note(folder: Path, name: str, seed: int, epochs: int, rate: float, task: str) -> None:
        trainer = f"scale: tiny\nseed_everything: {seed}\nruns: {name}/x\ntrainer: {{max_epochs: {epochs}}}\n"
        (folder / "config.yaml").write_text(f"{trainer}model: {{class_path: {task}, init_args: {{network: {seed}, rate: {rate}}}}}\n")

    for name, epochs in (("a", 8), ("b", 20)):
        for seed, model in enumerate(("darts", "resnet", "vgg", "dla")):
            note(lay(tmp_path / name, model, 0.5), name, seed, epochs, seed / epochs, "a.B")
        hardened = lay(tmp_path / name, "resnet", 0.1, experiment="adversarial", job="f00d")
        note(hardened, name, 7, 5, 1 / epochs, "robnas.tasks.AdversarialClassifier")
    table = made(*read(tmp_path), "a", "b").table
    assert table is not None
    assert table.rows == (
        ("code", "unknown", "unknown", ""),
        ("training: trainer.max_epochs", "8", "20", "differs"),
        ("adversarial training: model.rate", "0.125", "0.05", "differs"),
    )


def test_names_of_studies_and_heads_of_the_table_do_not_clash(tmp_path: Path) -> None:
    for name in "ab":
        lay(tmp_path / name, "darts", 0.5)
    table = changes(*read(tmp_path), "attack", "difference")[-1].table
    assert table is not None
    assert table.columns == ("model", "family", "attack", "attack′", "difference′", "difference", "intervals")


def test_two_studies_of_one_name_are_called_by_what_their_folders_differ_in(tmp_path: Path) -> None:
    for place in ("old/study", "new/study"):
        lay(tmp_path / place, "darts", 0.5)
    first, second = (Collected.read(tmp_path / place) for place in ("old/study", "new/study"))
    assert "<h1>old/study and new/study" in compare(first, second)[0].read_text()
    assert "<h1>study, first and study, second" in compare(first, first)[0].read_text()


@pytest.mark.parametrize("what", ["changes", "only", "made"])
def test_a_bug_in_one_part_ends_no_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    for name in "ab":
        lay(tmp_path / name, "darts", 0.2)

    def fails(*_: object) -> object:
        raise TypeError("of no kind")

    monkeypatch.setattr(f"robnas.report.compare.{what}", fails)
    text = compare(*read(tmp_path))[0].read_text()
    assert f"b: {what}: could not be made: TypeError: of no kind" in text
    assert "Nothing: both have the same" not in text or what != "only"
