"""What counts as done: whatever a job builds on has not changed since."""

import sys
from pathlib import Path

import pytest

from robnas import jobs, plugins
from robnas.study import foreign, layers
from robnas.study.executor import Outcome
from robnas.study.notes import Notes


@pytest.fixture
def noted(tmp_path, monkeypatch):
    """remember(words): says that a command is done, and gives what asks whether it is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path, ""])

    def remember(argv, study="o"):
        layers.forget()
        notes = Notes(Path(study))
        job = jobs.Job("a" * 40, "classify", Path(study))
        job.start()
        notes.remember(argv, Outcome(tuple(argv), 0, Path(study, "log")), job.folder, 1)

        def done():
            layers.forget()
            return notes.find(argv) is not None

        assert done()
        return done

    return remember


def made_anew(folder):
    path = Path(folder) / "job.json"
    path.write_text(path.read_text().replace('"created": "', '"created": "later'))


@pytest.mark.parametrize("study", ["o", "o=3", "my out"])
def test_a_run_that_was_made_anew_is_another_one(noted, study):
    done = noted(["attack", f"{study}/classify/aaaaaaaaaaaa", "--config", "pgd.yaml"], study)
    made_anew(f"{study}/classify/aaaaaaaaaaaa")
    assert not done()


@pytest.mark.parametrize("name", ["y.yaml", "m=y.yaml"])
def test_a_config_that_was_edited_is_another_one(noted, name):
    Path(name).write_text("attacks: {nes: nes}")
    done = noted(["attack", "--config", name])
    Path(name).write_text("attacks: {nes: {class_path: nes, init_args: {steps: 3}}}")
    assert not done()


@pytest.mark.parametrize(
    ("config", "word", "file"),
    [
        ("attacks: {mine: {class_path: mine.A}}", "--scale=tiny", "mine.py"),
        ("attacks: {}", "--attacks.mine=mine.A", "mine.py"),
        ("model: {class_path: OwnModel, init_args: {source: 'net.py:Net'}}", "--scale=tiny", "net.py"),
        ("model: {class_path: Classifier, init_args: {network: cells/deep.yaml}}", "--scale=tiny", "cells/deep.yaml"),
        ("attacks: {}", "--model.network=cells/deep.yaml", "cells/deep.yaml"),
    ],
)
def test_a_class_or_a_file_that_was_edited_is_another_one(noted, config, word, file):
    Path("own.yaml").write_text(config)
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).write_text("class A: pass\n")
    done = noted(["attack", "--config", "own.yaml", word])
    Path(file).write_text("class A: steps = 3\n")
    assert not done()


def test_our_own_classes_do_not_count_and_plug_ins_do(monkeypatch, tmp_path):
    config = {"attacks": {"a": {"class_path": "pgd"}, "b": {"class_path": "robnas.attacks.pgd.PGD"}, "c": {"class_path": "theirs"}}}
    assert foreign.classes(config) == {}
    theirs = plugins.Plugin("robnas.attacks", "theirs", "their_package:Theirs", "their-package", "1.0")
    monkeypatch.setattr(plugins, "declared", lambda group: (theirs,))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "their_package.py").write_text("class Theirs: ...\n")
    assert list(foreign.classes(config)) == ["their_package.Theirs"]
