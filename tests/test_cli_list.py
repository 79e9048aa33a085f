"""`robnas list` and `robnas new`: what is there, and something to start from."""

import json
import re
import subprocess
import sys
import tomllib

import pytest

from command_line import refused, robnas
from robnas import plugins, source
from robnas.attacks import PGD
from robnas.attacks.membership.loss import Loss
from robnas.jobs import Job
from robnas.plugins import Plugin
from robnas.results import Row, Rows
from robnas.testing import attack_checks
from robnas.units import human


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_everything_is_listed_with_a_line_and_its_provider(capsys):
    listed = json.loads(robnas("list --json", capsys).out)
    assert list(listed) == ["attacks", "defences", "probes", "searchers", "evaluators", "models", "data", "genotypes", "configs", "studies"]
    pgd = next(entry for entry in listed["attacks"] if entry["name"] == "pgd")
    assert pgd["about"].startswith("White-box evasion")
    assert pgd["provider"].startswith("robnas ")
    assert pgd["needs"] == "the model's gradients"
    for kind in ("searchers", "data", "genotypes", "configs", "studies"):
        assert listed[kind]
        assert all(entry["about"] for entry in listed[kind]), kind


def test_one_kind_as_text(capsys):
    lines = robnas("list configs", capsys).out.splitlines()
    assert lines[0] == "configs"
    column = next(line for line in lines if line.split()[0] == "apgd.yaml").index("APGD")
    assert all(line[column - 2 : column] == "  " for line in lines[1:])
    assert any(line.split()[0] == "darts_iii/paper.yaml" for line in lines)


def test_built_ins_are_whole(capsys):
    for kind in ("attacks", "searchers", "data"):
        listed = json.loads(robnas(f"list {kind} --json --check", capsys).out)
        assert [entry["name"] for entry in listed if entry["error"]] == []


def test_runs_are_listed_with_their_state(capsys, elsewhere):
    first, second = Job("a" * 40, "darts"), Job("b" * 40, "classify", elsewhere / "elsewhere")
    first.start()
    second.start()
    second.mark_finished()
    (entry,) = json.loads(robnas("list runs --json", capsys).out)
    assert (entry["name"], entry["state"]) == ("runs/darts/aaaaaaaaaaaa", "unfinished")
    assert "finished" in robnas("list runs --runs elsewhere", capsys).out
    assert "none" in robnas("list runs --runs nowhere", capsys).out


def test_the_children_of_a_search_are_one_entry(capsys, elsewhere):
    Job("a" * 40, "evolution").start()
    for digit in "bcd":
        child = Job(digit * 40, "evolution-children")
        child.start()
        if digit != "d":
            child.mark_finished()
    entries = {entry["name"]: entry["state"] for entry in json.loads(robnas("list runs --json", capsys).out)}
    assert entries == {"runs/evolution/aaaaaaaaaaaa": "unfinished", "runs/evolution-children": "2 finished, 1 unfinished"}
    entries = {entry["name"]: entry["state"] for entry in json.loads(robnas("list runs --children --json", capsys).out)}
    assert len(entries) == 4
    assert entries["runs/evolution-children/dddddddddddd"] == "unfinished"


def test_runs_are_listed_with_what_their_rows_say(capsys, elsewhere):
    job = Job("c" * 40, "classify")
    job.start()
    attacked = {
        "metric": "asr",
        "value": 0.5,
        "n": 8,
        "ci": (0.2152, 0.7848),
        "plugin": "pgd",
        "params": {"goal": "most_likely", "eps": 8 / 255},
    }
    rows = Rows(job.folder / "results.jsonl")
    rows.write([Row(kind="train", metric="accuracy", value=0.989, n=360, ci=(0.9718, 0.9957), plugin="accuracy"), Row(**attacked)])
    (entry,) = json.loads(robnas("list runs --json", capsys).out)
    assert entry["found"] == "accuracy 98.9 [97, 100] n=360; ASR of pgd most likely ε 8/255 50.0 [21, 79] n=8"


def test_an_attack_on_other_weights_than_were_tested_is_marked(capsys):
    """Such as those of `best`, under the accuracy of the last."""
    job = Job("c" * 40, "classify")
    job.start()
    attack = {"metric": "asr", "value": 0.5, "n": 8, "ci": (0.25, 0.75), "plugin": "pgd"}
    accuracy = Row(kind="train", metric="accuracy", value=0.5, n=8, ci=(0.25, 0.75), victim="last")
    Rows(job.folder / "results.jsonl").write([accuracy, Row(**attack, victim="last"), Row(**attack, victim="best")])
    (entry,) = json.loads(robnas("list runs --json", capsys).out)
    assert entry["found"].split("; ")[1:] == ["ASR of pgd 50.0 [25, 75] n=8", "ASR of pgd (other weights) 50.0 [25, 75] n=8"]


def test_a_training_is_listed_with_its_model_and_size(capsys, elsewhere):
    job = Job("c" * 40, "classify")
    job.start(network="vgg")  # as a run folder does
    Rows(job.folder / "results.jsonl").write([Row(kind="train", plugin="size", metric="parameters", value=579786.0)])
    (entry,) = json.loads(robnas("list runs --json", capsys).out)
    assert (entry["model"], entry["found"]) == ("vgg", "580 k parameters")


def test_searches_are_listed_with_the_cells_that_they_found(capsys):
    job = Job("e" * 40, "darts")
    job.start()
    found = {"normal/depth": 4.0, "normal/width": 1.0, "normal/skips": 3.0, "reduce/depth": 3.0, "reduce/width": 2.0, "seconds": 41.2}
    Rows(job.folder / "results.jsonl").write([Row(kind="search", metric=metric, value=value) for metric, value in found.items()])
    (entry,) = json.loads(robnas("list runs --json", capsys).out)
    assert entry["found"] == "normal: depth 4 width 1 skips 3; reduce: depth 3 width 2; 41 s"


def test_a_searcher_is_listed_by_its_name_its_kind_and_its_paper(capsys):
    entries = [entry for entry in json.loads(robnas("list searchers --json", capsys).out) if entry["provider"].startswith("robnas ")]
    assert len(entries) == 10
    for entry in entries:
        assert re.search(r"^[\w -]+: .*; (relaxed|sampled) \(.*, 20\d\d\)$", entry["about"]), entry
        assert len(entry["about"]) <= 110


def test_networks_are_listed_with_their_sizes(capsys):
    """ResNet-18 for CIFAR10 by hand: 11.2 M parameters, 0.56 G multiply-adds; DARTS's as its authors publish it."""
    entries = {entry["name"]: entry for entry in json.loads(robnas("list models --json", capsys).out)}
    assert {(entry["kind"], name) for name, entry in entries.items() if name in ("resnet", "darts")} == {
        ("manual", "resnet"),
        ("nas", "darts"),
    }
    assert (entries["resnet"]["parameters"], entries["resnet"]["flops"]) == (11_173_962, 555_422_720)
    assert entries["darts"]["parameters"] == 3_349_342
    lines = {line.split()[0]: line for line in robnas("list models", capsys).out.splitlines()}
    assert "ResNet (He et al., 2016), by default ResNet-18" in lines["resnet"]
    assert "11.2 M parameters  555 M FLOPs" in lines["resnet"]
    assert "1.30 G FLOPs" in lines["bit"]


def test_a_network_from_elsewhere_has_no_size(capsys, monkeypatch):
    own = plugins.declared("robnas.models")
    theirs = Plugin("robnas.models", "mine", "nowhere.mine:net", "robnas-mine", "1.0")
    monkeypatch.setattr(plugins, "declared", lambda group: (*own, theirs) if group == "robnas.models" else ())
    entry = next(e for e in json.loads(robnas("list models --json", capsys).out) if e["name"] == "mine")
    assert (entry["kind"], entry["parameters"], entry["flops"], entry["provider"]) == ("custom", None, None, "robnas-mine 1.0")
    line = next(line for line in robnas("list models", capsys).out.splitlines() if line.split()[0] == "mine")
    assert line.split() == ["mine", "custom", "robnas-mine", "1.0"]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (11_173_962, "11.2 M"),
        (999_499, "999 k"),
        (999_500, "1.00 M"),
        (9_995_000, "10.0 M"),
        (3_684_388_864, "3.68 G"),
    ],
)
def test_large_numbers_as_people_write_them(count, text):
    assert human(count) == text


def test_a_table_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    out = robnas("list searchers", capsys).out
    assert "darts" in out
    assert "─" in out or "━" in out
    assert robnas("list runs --runs nowhere", capsys).out.split() == ["runs", "none"]


def test_descriptions_come_from_the_source_and_from_base_classes(elsewhere, monkeypatch):
    monkeypatch.syspath_prepend(str(elsewhere))
    (elsewhere / "described").mkdir()
    (elsewhere / "described" / "__init__.py").write_text("raise SystemExit('never executed')")
    (elsewhere / "described" / "base.py").write_text('class Base:\n    """Of the base."""\n    needs: str = "a net"\n')
    (elsewhere / "described" / "a.py").write_text(
        'from described.base import Base\nclass A(Base):\n    """Cures (Liu et al. 2019) all. And more.\n\n    Args: none\n    """\n'
        'class B(A):\n    access = "label"\n'
    )
    assert source.describe("described.a:A") == source.Description("Cures (Liu et al. 2019) all", "a net")
    assert source.describe("described.a:B") == source.Description("Cures (Liu et al. 2019) all", "the model's answers")
    assert source.describe("described.a:C") == source.describe("nowhere:A") == source.Description()


def test_a_new_attack_is_a_package_whose_test_passes(capsys, elsewhere):
    said = robnas("new attack fast_sign --out sub", capsys)
    assert said.status == 0
    folder = elsewhere / "sub" / "robnas-fast-sign"
    assert {path.name for path in folder.iterdir()} == {"pyproject.toml", "robnas_fast_sign.py", "fast_sign.yaml", "test_fast_sign.py"}
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["robnas.attacks"] == {"fast_sign": "robnas_fast_sign:FastSign"}
    line = refused("new attack fast_sign --out sub", capsys)
    assert "exists already; nothing is overwritten" in line


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "passed"), [("evasion", PGD), ("membership", Loss), ("poisoning", 2), ("backdoor", 1), ("stealing", 1)])
def test_the_test_of_a_new_attack_passes(shape, passed, capsys, elsewhere):
    robnas(f"new attack fast_sign --shape {shape}", capsys)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    done = subprocess.run(command, cwd=elsewhere / "robnas-fast-sign", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert f"{passed if isinstance(passed, int) else len(list(attack_checks(passed))) + 1} passed" in done.stdout
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select=E,F,W,I,UP,B,PT,SIM", "--line-length=140", "."]
    done = subprocess.run(ruff, cwd=elsewhere / "robnas-fast-sign", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_a_new_probe_is_a_package_whose_test_passes_and_which_measures(capsys, elsewhere, monkeypatch):
    said = robnas("new probe own_steepness", capsys)
    assert said.out.endswith("&& robnas probe RUN… --config robnas-own-steepness/own_steepness.yaml\n")
    folder = elsewhere / "robnas-own-steepness"
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == {"robnas.probes": {"own_steepness": "robnas_own_steepness:OwnSteepness"}}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert "2 passed" in done.stdout, done.stdout
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select=E,F,W,I,UP,B,PT,SIM", "--line-length=140", "."]
    done = subprocess.run(ruff, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    monkeypatch.syspath_prepend(str(folder))
    config = (
        (folder / "own_steepness.yaml").read_text().replace("class_path: own_steepness", "class_path: robnas_own_steepness.OwnSteepness")
    )
    (elsewhere / "here.yaml").write_text(config)
    said = robnas(f"fit --config classify.yaml --config here.yaml --model.network=resnet {SMALL}", capsys)
    assert said.status == 0, said
    (row,) = [row for row in Rows(elsewhere / "runs/classify/latest/results.jsonl").read() if row.params.get("at") == "fit_end"]
    assert (row.plugin, row.metric, row.n) == ("ownsteepness", "gradient_norm", 256)
    assert row.ci[0] < row.value < row.ci[1]


SMALL = "--config digits.yaml --wandb=off --trainer.accelerator=cpu --trainer.max_epochs=1 --trainer.limit_train_batches=2"


@pytest.mark.slow
def test_new_attacks_on_training_run(capsys, elsewhere, monkeypatch):
    victim = robnas(f"fit --config classify.yaml {SMALL} --model.network=resnet --data.members=0.5", capsys)
    assert victim.status == 0, victim
    for shape, flags in {
        "poisoning": "",
        "backdoor": "",
        "stealing": " --model.network=resnet --attacks.my_stealing.victim=runs/classify/latest --attacks.my_stealing.budget=64",
    }.items():
        made = robnas(f"new attack my_{shape} --shape {shape}", capsys)
        folder = elsewhere / f"robnas-my-{shape}"
        monkeypatch.syspath_prepend(str(folder))
        config, cls = (folder / f"my_{shape}.yaml").read_text(), f"robnas_my_{shape}.My{shape.capitalize()}"
        (folder / "here.yaml").write_text(config.replace(f"class_path: my_{shape}", f"class_path: {cls}"))
        assert f"my_{shape}.yaml" in made.out.splitlines()[-1]
        base = "" if shape == "stealing" else "--config classify.yaml --model.network=resnet "
        said = robnas(f"fit {base}--config {folder / 'here.yaml'} {SMALL}{flags}", capsys)
        assert said.status == 0, said
        assert f"my_{shape}: " in said.out + said.err
