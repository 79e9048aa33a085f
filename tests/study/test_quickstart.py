"""The README's first command: every job of the shipped study at a size that takes seconds, and no section that was planned is empty."""

import copy

import pytest
import yaml

from robnas.configuration.reading import read_file
from robnas.report.write import report
from robnas.study import command, file
from robnas.study.plan import Plan

MODELS = ("darts", "densenet", "resnet", "darts_iii")
SMALLER = {
    "max_epochs": 1,
    "max_inputs": 16,
    "n_samples": 16,
    "points": 3,
    "n_queries": 4,
    "budget": 64,
    "steps": 2,
    "eps": ["4/255", "16/255", 1.0],
}
"""Last part of a flag's name → what it says here."""


def made_small(study):
    study = copy.deepcopy(study)
    study["flags"] |= {"trainer.max_epochs": 1, "trainer.limit_train_batches": 2}
    study["models"] = {name: study["models"][name] for name in MODELS}
    for section in ("searches", "trainings", "attacks", "probes"):
        for block in study[section].values():
            if "models" in block:
                block["models"] = [name for name in block["models"] if name in MODELS]
            for flags in (block.get("flags", {}), block.get("vary", {})):
                for name, value in flags.items():
                    small = SMALLER.get(name.rpartition(".")[2], value)
                    flags[name] = [64, 128] if "budget" in name and isinstance(value, list) else small
    study["trainings"]["clean"]["seeds"] = [0]
    study["searches"]["darts_iii"]["flags"] |= {"trainer.limit_train_batches": 2}
    study["attacks"]["scores"]["flags"] |= {"attacks.nes_most.steps": 1, "attacks.nes_least.steps": 1}
    return study


@pytest.mark.slow
def test_the_quickstart_ends_in_a_report_without_an_empty_section(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = tmp_path / "small.yaml"
    small.write_text(yaml.safe_dump(made_small(read_file(file.find("quickstart.yaml"))), sort_keys=False))
    assert command.main([str(small), "--out=study"]) == 0
    plan = Plan.read(tmp_path / "study")
    assert plan is not None
    assert {job.state for job in plan.jobs} == {"done"}
    assert (tmp_path / "study" / "report.html").stat().st_size > 100_000
    exhibits = {exhibit.label: exhibit for exhibit in report(tmp_path / "study")[2]}
    planned = {exhibit for job in plan.jobs for exhibit in job.exhibits if exhibit.startswith(("Fig.", "Table"))}
    assert planned <= exhibits.keys()
    empty = [name for name in sorted(planned) if exhibits[name].table is None and exhibits[name].figure is None]
    assert not empty, {name: exhibits[name].missing for name in empty}


def test_it_is_what_the_readme_says():
    study = read_file(file.find("quickstart.yaml"))
    families = [model.family for model in file.checked(study, "quickstart.yaml").models.values()]
    assert (families.count("nas"), families.count("manual")) == (5, 4)
    assert file.find("quickstart").name == "quickstart.yaml"
