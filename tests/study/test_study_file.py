"""Study files: everything that is wrong with one is said before the first job, in a line."""

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
    ],
)
def test_what_is_wrong_is_one_line_with_the_files_name(changed, said):
    with pytest.raises(UserError) as error:
        study(**changed)
    assert said in str(error.value)
    assert str(error.value).startswith("some.yaml: ")
    assert "\n" not in str(error.value)


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
