"""docs/studies.md: its commands are run, its study by nobody but its graph; it leaves out no key of a study file and no shipped study."""

import re
from pathlib import Path

import pytest

from command_line import robnas
from docs_page import page
from robnas.configuration import files
from robnas.results import Row, Rows
from robnas.study import command, file, file_block, file_model, keys
from robnas.study.executor import Outcome
from robnas.study.flag_words import MARK

PAGE = page("studies.md")
COMMANDS = PAGE.commands


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    PAGE.write(tmp_path)
    return tmp_path


class Nobody:
    """An executor whose jobs do nothing, and are done; what they are told to do has to be something that classes can be told."""

    slots = 2

    def __init__(self, folder, workers, threads):
        self.folder, self.ended, self.trained = folder, [], None

    def __enter__(self):
        return self

    def __exit__(self, *error): ...

    def submit(self, id, argv, needs=()):
        assert not [word for word in argv if MARK.search(word)]
        keys.check(argv, None if id.startswith("search/") else self.trained)
        self.trained = argv if id.startswith("train/") else self.trained
        self.ended.append((id, Outcome(tuple(argv), 0, self.folder / "log", folder=self.folder / "classify" / "1")))

    def wait(self):
        ended, self.ended = self.ended, []
        return ended


@pytest.mark.slow
def test_the_commands_of_the_page(here, monkeypatch, capsys):
    monkeypatch.setattr(command, "local", Nobody)  # tests/study has jobs that do something
    for name in ("mine", "other"):
        Rows(Path("runs", name, "classify", "1", "results.jsonl")).write([row(name)])
    for told in COMMANDS:
        said = robnas(told.removeprefix("robnas "), capsys)
        assert said.status == 0, (told, said)
    assert Path("runs/mine/report.html").is_file()
    assert Path("changes.html").is_file()


def row(job):
    return Row(
        job=job, kind="train", plugin="classifier", model="darts", family="nas", dataset="digits", metric="accuracy", value=0.9, n=360
    )


def test_what_the_page_shows_of_its_graph_is_what_is_printed(here, capsys):
    said = robnas("study mine.yaml --dry-run", capsys)
    shown = next(block for block in re.findall(r"^```text\n(.*?)^```", PAGE.text, re.DOTALL | re.MULTILINE) if block.startswith("graph"))
    assert shown in said.out


def test_every_key_of_a_study_file_is_on_the_page():
    known = {*file.TOP, *file_model.MODEL_KEYS, *file_block.PROTOCOLS, *(key for keys in file_block.KEYS.values() for key in keys)}
    assert not [key for key in known if f"`{key}`" not in PAGE.text]


def test_every_shipped_study_is_on_the_page():
    assert not [name for name in files.studies() if f"`{name}`" not in PAGE.text]
