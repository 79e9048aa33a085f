"""A study whose file was changed: its report is of what is asked for now."""

import json

from made_rows import Made
from robnas.report.collected import Collected


def study(tmp_path, *places, planned):
    """A folder with runs, of which those in `planned` are jobs of the plan."""
    for number, place in enumerate(places):
        note = {"argv": ["fit", f"--trainer.max_epochs={number}"], "folder": place, "log": "", "seconds": 1.0, "attempts": 1}
        (tmp_path / ".pool").mkdir(exist_ok=True)
        (tmp_path / ".pool" / f"{number}.done").write_text(json.dumps(note))
    jobs = [{"id": f"train/{place}", "kind": "train", "state": "done", "folder": place} for place in planned]
    (tmp_path / "plan.json").write_text(json.dumps({"study": "some", "jobs": jobs}))


def test_runs_of_an_earlier_version_are_left_out_and_named(tmp_path):
    made = Made(tmp_path)
    old, new, twin = (made.add("darts", 0, "digits", "accuracy", value, kind="train", run=f"v{value}") for value in (0.1, 0.9, 0.8))
    made.write()
    study(tmp_path, old, new, planned=[new])
    collected = Collected.read(tmp_path)
    assert sorted(found.value for found in collected.rows) == [0.8, 0.9]  # nobody's note says that a command made the twin
    assert [note for note in collected.notes if note.where == old and "earlier version" in note.what]
    assert twin in collected.runs


def test_without_a_plan_all_count(tmp_path):
    made = Made(tmp_path)
    old = made.add("darts", 0, "digits", "accuracy", 0.1, kind="train")
    made.write()
    study(tmp_path, old, planned=[])
    assert [found.value for found in Collected.read(tmp_path).rows] == [0.1]


def test_notes_that_are_none_are_passed_over(tmp_path):
    made = Made(tmp_path)
    place = made.add("darts", 0, "digits", "accuracy", 0.1, kind="train")
    made.write()
    study(tmp_path, planned=[place])
    (tmp_path / ".pool").mkdir()
    for name, text in (("a", "["), ("b", "3"), ("c", '{"argv": [], "folder": "x"}'), ("d", "null")):
        (tmp_path / ".pool" / f"{name}.done").write_text(text)
    assert len(Collected.read(tmp_path).rows) == 1
