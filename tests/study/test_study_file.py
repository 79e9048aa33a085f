"""Study files: everything that is wrong with one is said before the first job, in a line."""

import re
from pathlib import Path

import pytest

from robnas.configuration import files
from robnas.configuration.reading import read_text
from robnas.errors import UserError
from robnas.study import file

GOOD = """
study: some
overlays: [digits.yaml]
flags: {trainer.max_epochs: 2}
searches:
  found: {config: darts.yaml, seeds: [0, 1]}
models:
  darts:
  resnet:
  own: {search: found}
trainings:
  clean: {config: classify.yaml, seeds: [0, 1]}
attacks:
  pgd: pgd.yaml
  label_flip: {config: label_flip.yaml, seeds: [1], vary: {attacks.label_flip.rate: [0.2, 0.4]}}
probes:
  cells: {config: cells.yaml, models: [own]}
"""


def study(text=GOOD, **changed):
    return file.checked(read_text(text, "some.yaml") | changed, "some.yaml")


def test_blocks_have_what_the_file_leaves_out():
    read = study()
    pgd, flip = (read.block("attack", name) for name in ("pgd", "label_flip"))
    assert (pgd.of, pgd.models, pgd.seeds, pgd.trains) == (("clean",), ("darts", "resnet", "own"), {"sound": (0, 1)}, False)
    assert (flip.seeds, flip.trains, flip.vary) == ({"sound": (1,)}, True, {"attacks.label_flip.rate": (0.2, 0.4)})
    assert read.block("search", "found").trains
    assert {name: model.family for name, model in read.models.items()} == {"darts": "nas", "resnet": "manual", "own": "nas"}


def test_a_protocol_has_its_own_config_unless_the_study_names_another():
    read = study(protocols=["sound", "paper"], searches={}, models=["darts"], probes={}, attacks={"pgd": "pgd.yaml"}, overlays=[])
    assert read.block("attack", "pgd").configs == {"sound": ("pgd.yaml",), "paper": ("pgd/paper.yaml",)}
    assert read.block("train", "clean").configs["paper"] == ("classify/paper.yaml",)
    named = {"sweep": {"config": {"paper": "pgd/sweep_paper.yaml"}}}
    assert study(protocols=["sound", "paper"], searches={}, models=["darts"], probes={}, attacks=named).block(
        "attack", "sweep"
    ).configs == {"paper": ("pgd/sweep_paper.yaml",)}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"atacks": {}}, "unknown key 'atacks'. Did you mean 'attacks'"),
        ({"study": "a/b"}, "study: 'a/b' is no name"),
        ({"protocols": ["sond"]}, "unknown protocol 'sond'. Did you mean 'sound'"),
        ({"data": ["cifar11"]}, "unknown data 'cifar11'. Did you mean 'cifar10'"),
        ({"overlays": ["digit.yaml"]}, "overlays: unknown config 'digit.yaml'. Did you mean 'digits.yaml'"),
        ({"flags": {"trainr.max_epochs": 1}}, "unknown flag of flags 'trainr.max_epochs'"),
        ({"threads": 0}, "threads: 0 is not"),
        ({"models": ["drats"]}, "unknown network of models.drats 'drats'. Did you mean 'darts'"),
        ({"models": {"own": {"search": "fund"}}}, "unknown search of models.own 'fund'. Did you mean 'found'"),
        ({"models": {"own": {"search": "found", "cell": "darts"}}}, "models.own: search and cell"),
        ({"models": {"own": {"network": "darts", "deepen": True}}}, "models.own: deepen and replace change a cell"),
        ({"models": {"own": {"cell": "dart"}}}, "'dart'"),
        ({"attacks": {"pgd": "pgdd.yaml"}}, "unknown config 'pgdd.yaml'. Did you mean 'pgd.yaml'"),
        ({"attacks": {"pgd": {}}}, "attacks.pgd: config is missing"),
        ({"attacks": {"pgd": {"config": "pgd.yaml", "off": "clean"}}}, "unknown key of attacks.pgd 'off'. Did you mean 'of'"),
        ({"attacks": {"pgd": {"config": "pgd.yaml", "of": "clear"}}}, "unknown training 'clear'. Did you mean 'clean'"),
        ({"attacks": {"pgd": {"config": "pgd.yaml", "models": ["vgg"]}}}, "unknown model of clean 'vgg'"),
        ({"attacks": {"pgd": {"config": "pgd.yaml", "seeds": [2]}}}, "attacks.pgd.seeds: 2 is no seed of clean: 0, 1"),
        ({"attacks": {"pgd": {"config": "pgd.yaml", "flags": {"attacks.pdg.steps": 1}}}}, "'pdg'. Did you mean 'pgd'"),
        ({"attacks": {"pgd": {"config": "pgd.yaml", "vary": {"attacks.pgd.steps": 3}}}}, "vary.attacks.pgd.steps: 3 is not a list"),
        ({"attacks": {"flip": {"config": "label_flip.yaml", "together": True}}}, "attacks.flip.together: its config trains"),
        ({"probes": {"p": "classify.yaml"}}, "probes.p: its config trains"),
        ({"trainings": {"clean": {"config": "classify.yaml", "seeds": [1, 1]}}}, "names a seed twice"),
        ({"trainings": {"clean": {"config": "classify.yaml", "seeds": 3}}}, "seeds: 3 is not a list of whole numbers"),
        ({"trainings": {}}, "there are no trainings that it could be about"),
        ({"study": ".."}, "study: '..' is no name"),
        ({"study": "-x"}, "study: '-x' is no name"),
        ({"study": "a*{b}"}, "study: 'a*{b}' is no name"),
        ({"protocols": []}, "protocols: there is none"),
        ({"threads": True}, "threads: True is not a whole number"),
        ({"data": "cifar10"}, "data: 'cifar10' is neither a list of names nor a mapping of them"),
        ({"data": ["cifar10", "CIFAR10"]}, "data: cifar10 is named twice"),
        ({"searches": "darts"}, "searches: 'darts' is not a mapping of names"),
        ({"flags": {"seed_everything": 7}}, "flags: seed_everything: `seeds` says that"),
        ({"flags": {"protocol": "paper"}}, "flags: protocol: `protocols` says that"),
        ({"flags": {"overwrite": True}}, "flags: overwrite: a job that has changed is done anew"),
        ({"flags": {"ckpt_path": "last"}}, "flags: ckpt_path: a job goes on"),
        ({"flags": {"trainer": 5}}, "flags.trainer: 5 is not a mapping"),
        ({"flags": {"init_from": "nowhere"}}, "flags.init_from: there is no 'nowhere'"),
        ({"models": {"own": {"search": ["found"]}}}, "models.own.search: ['found'] is no name"),
        ({"models": {"own": {"cell": "darts", "deepen": "off"}}}, "models.own.deepen: 'off' is not true or false"),
        ({"models": {"own": {"cell": "darts", "replace": {"skip": "zero"}}}}, "models.own: unknown operation to replace 'skip'"),
        ({"models": {"own": "/"}}, "the folder '/' has no genotype.yaml"),
        ({"models": {"own": "darts("}}, "unknown network of models.own 'darts('"),
        ({"searches": {"found": "classify.yaml"}}, "searches.found: its config searches for nothing"),
        ({"trainings": {"clean": "pgd.yaml"}}, "trainings.clean: its config names no model"),
        ({"trainings": {"clean": "darts.yaml"}}, "trainings.clean: its config is a search"),
        ({"trainings": {"clean": {"config": {"sound": []}}}}, "trainings.clean.config.sound: there is none"),
        ({"trainings": {"clean": {"config": "classify.yaml", "models": []}}}, "trainings.clean.models: there is none"),
        ({"trainings": {"clean": {"config": "classify.yaml", "seeds": [-1]}}}, "seeds: -1 is not in [0, 4,294,967,296)"),
        ({"trainings": {"clean": {"config": "classify.yaml", "seeds": [10**20]}}}, "is not in [0, 4,294,967,296)"),
        ({"trainings": {"clean": {"config": "classify.yaml", "flags": {"data.root": "{run}"}}}}, "{run} stands for nothing here"),
        ({"trainings": {"clean": {"config": "classify.yaml", "exhibits": ["Figure 3"]}}}, "'Figure 3' is not such as Fig. 2"),
        ({"attacks": {"x": "classify.yaml"}}, "attacks.x: its config has no attack"),
        ({"attacks": {"x": "cells.yaml"}}, "attacks.x: its config has no attack"),
        ({"attacks": {"x": "darts.yaml"}}, "attacks.x: its config is a search"),
        ({"attacks": {"pgd": {"config": "pgd.yaml", "of": []}}}, "attacks.pgd.of: there is none"),
        ({"attacks": {"pgd": {"config": "pgd.yaml", "shift_seed": 1}}}, "attacks.pgd.shift_seed: its config trains nothing"),
        ({"attacks": {"x": {"config": "knockoff.yaml", "shift_seed": True}}}, "shift_seed: True is not a whole number"),
        ({"attacks": {"x": {"config": "knockoff.yaml", "shift_seed": 2**32}}}, "attacks.x.shift_seed: 1 + 4294967296 is no seed"),
        ({"attacks": {"x": {"config": {"paper": "pgd/paper.yaml"}}}}, "attacks.x.config: there is none for sound"),
        ({"attacks": {"pgd": {"config": "pgd.yaml", "vary": {"attacks.pgd.eps": [0.2, 0.2]}}}}, "attacks.pgd.eps: 0.2 is there twice"),
        ({"attacks": {"x": {"config": "knockoff.yaml", "flags": {"attacks.knockoff.victim": "{runs}"}}}}, "{run} and {model} can"),
        ({"attacks": {"x": {"config": "knockoff.yaml", "flags": {"attacks.knockoff.victim": {"run": None}}}}}, 'quotes here: "{run}"'),
        ({"probes": {"p": "pgd.yaml"}}, "probes.p: its config has no probe"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_files_name(changed, said):
    with pytest.raises(UserError) as error:
        study(**changed)
    assert said in str(error.value)
    assert str(error.value).startswith("some.yaml: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("section", "config", "said"),
    [
        ("trainings", "{model: {class_path: Classifier}, data: 5}", "own.yaml: data: 5 is not a mapping"),
        ("attacks", "{attacks: pgd}", "own.yaml: attacks: 'pgd' is not a mapping"),
        ("attacks", "{attacks: [pgd]}", "own.yaml: attacks: ['pgd'] is not a mapping"),
        ("attacks", "{attacks: {pgd: {class_path: [pgd]}}}", "own.yaml: attacks.pgd.class_path: ['pgd'] is no name"),
        (
            "attacks",
            f"{{attacks: {{pgd: {{class_path: pgd, init_args: {{steps: {'9' * 5000}}}}}}}}}",
            "own.yaml: a value that cannot be read",
        ),
    ],
)
def test_a_wrong_config_is_a_line_and_no_traceback(tmp_path, monkeypatch, section, config, said):
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text(config)
    with pytest.raises(UserError, match=re.escape(said)):
        study(probes={}, **{section: {"x": {"config": "own.yaml", "flags": {"attacks.pgd.steps": 3} if section == "attacks" else {}}}})


def test_classes_in_short_are_blocks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.yaml").write_text("{model: Classifier, data: cifar100}")
    Path("short.yaml").write_text("{attacks: {pgd: pgd}, trainer: {accelerator: cpu}}")
    read = study(trainings={"clean": "own.yaml"}, attacks={"short": {"config": "short.yaml", "flags": {"attacks.pgd.steps": 3}}})
    assert not read.block("attack", "short").trains  # a trainer says where it computes, not that it trains


@pytest.mark.parametrize(("config", "trains"), [("pgd", False), ("membership/lira", False), ("badnets", True), ("fine_pruning", True)])
def test_an_attack_trains_that_has_a_model_or_changes_a_training(tmp_path, monkeypatch, config, trains):
    monkeypatch.chdir(tmp_path)
    Path("bare.yaml").write_text("{attacks: {badnets: badnets}}")
    read = study(attacks={"x": f"{config}.yaml", "bare": "bare.yaml"})
    assert (read.block("attack", "x").trains, read.block("attack", "bare").trains) == (trains, True)


def test_an_overlay_has_blocks_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("more.yaml").write_text("{attacks: {mine: {class_path: pgd}}}")
    read = study(attacks={"x": {"config": "pgd.yaml", "overlays": ["more.yaml"], "flags": {"attacks.mine.steps": 3}}})
    assert read.block("attack", "x").flags == {"attacks.mine.steps": 3}


def test_a_data_set_has_the_name_that_rows_have():
    read = study(data={"CIFAR10": {}}, trainings={"clean": {"config": "classify.yaml", "seeds": [0, 1], "data": ["CIFAR10"]}})
    assert (list(read.data), read.block("train", "clean").data) == (["cifar10"], ("cifar10",))


def test_shipped_studies_are_found_by_name_and_are_no_configs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert set(files.studies()) >= {"quickstart.yaml", "mitigation.yaml", "paper.yaml"}
    assert not any(name.startswith("studies/") for name in files.shipped())
    assert file.find("quickstart") == files.studies()["quickstart.yaml"]
    with pytest.raises(UserError, match=r"unknown study 'quikstart.yaml'. Did you mean 'quickstart.yaml'"):
        file.find("quikstart.yaml")
    Path("paper.yaml").write_text("study: mine\n")
    assert file.find("paper.yaml") == Path("paper.yaml")


@pytest.mark.parametrize("name", sorted(files.studies()))
def test_every_shipped_study_is_sound(name):
    assert file.read(file.find(name)).name == name.removesuffix(".yaml")
