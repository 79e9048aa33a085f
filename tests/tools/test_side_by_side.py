"""What the tables share: intervals by hand, a page between its markers, and how many seconds of a processor a job took."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

from robnas import jobs
from robnas.errors import UserError
from robnas.jobs import Job
from robnas.statistics import student

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import cpu_seconds
import side_by_side as tool


def test_a_number_and_its_interval():
    low, high = student([2.0, 3.0])
    assert tool.plus_minus([2.0, 3.0], 1) == f"2.5 ± {(high - low) / 2:.1f}" == "2.5 ± 6.4"
    assert tool.plus_minus([2.0], 1) == "2.0"
    assert tool.plus_minus([], 1) == tool.between([], 1) == "–"
    assert tool.between([99.0, 100.0], 1, most=100) == "99.5 [93.1, 100.0]"
    assert tool.between([1.0, 2.0], 1) == "1.5 [0.0, 7.9]"
    assert tool.between([1.0, 2.0], 1, least=-100) == "1.5 [-4.9, 7.9]"
    assert tool.between([99.0], 1, most=100) == "99.0"


def test_only_what_stands_between_the_markers_is_written(tmp_path):
    page, markers = tmp_path / "page.md", ("<!-- begin -->", "<!-- end -->")
    page.write_text("before\n\n<!-- begin -->\nold\n<!-- end -->\n\nafter\n")
    tool.write_between(page, "new", *markers)
    tool.write_between(page, "newer", *markers)
    assert page.read_text() == "before\n\n<!-- begin -->\n\nnewer\n\n<!-- end -->\n\nafter\n"
    tool.write_between(tmp_path / "none.md", "new", *markers)
    assert (tmp_path / "none.md").read_text() == "<!-- begin -->\n\nnew\n\n<!-- end -->\n"


@pytest.mark.parametrize(
    "old", ["a\nBEGIN\nb\n", "a\nEND\nb\n", "END\na\nBEGIN\nb\n", "BEGIN\nEND\na\nBEGIN\nEND\n", "BEGIN\na\nEND\nb\nEND\n"]
)
def test_a_page_whose_markers_do_not_match_stays_as_it_is(old, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(old)
    with pytest.raises(UserError, match=r"page\.md: 'BEGIN' and then 'END' must both be there once, or neither"):
        tool.write_between(page, "new", "BEGIN", "END")
    assert page.read_text() == old


def test_a_page_without_markers_gets_them_at_its_end(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n")
    tool.write_between(page, "new", "BEGIN", "END")
    assert page.read_text() == "before\nBEGIN\n\nnew\n\nEND\n"


def test_a_seed_that_is_named_twice_is_refused():
    tool.check_seeds([0, 1])
    with pytest.raises(UserError, match=r"--seeds: \[1, 1\] names a seed twice"):
        tool.check_seeds([1, 1])


def finished(folder, created):
    job = Job("a" * 40, folder.parent.name, folder.parent.parent)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.json").write_text(json.dumps({"identity": job.identity, "state": "finished", "created": created}))
    return job


def test_processor_seconds_of_a_training_are_kept_in_its_folder(tmp_path, monkeypatch):
    folder = tmp_path / "classify" / ("a" * 12)

    def fit(argv):
        finished(folder, time.strftime("%Y-%m-%dT%H:%M:%S%z")).enter()
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass
        time.sleep(0.3)  # a wall clock would count it
        raise SystemExit(0)

    monkeypatch.setattr(cpu_seconds.robnas, "main", fit)
    with pytest.raises(SystemExit):
        cpu_seconds.main(["fit"])
    assert cpu_seconds.read(folder) in (0.2, 0.3)
    monkeypatch.setattr(cpu_seconds.robnas, "main", lambda argv: finished(folder, "2020-01-01T00:00:00+0000").enter())
    cpu_seconds.main(["fit"])  # finished before: nothing is measured, and the old note is not of this run
    assert cpu_seconds.read(folder) is None


def test_a_training_that_was_begun_by_another_command_has_no_processor_seconds(tmp_path, monkeypatch):
    folder = tmp_path / "classify" / ("a" * 12)
    monkeypatch.setattr(cpu_seconds.robnas, "main", lambda argv: finished(folder, "2020-01-01T00:00:00+0000").enter())
    cpu_seconds.main(["fit"])
    assert cpu_seconds.read(folder) is None
    assert not (folder / cpu_seconds.FILE).exists()
    jobs.leave()


def test_workers_find_the_runner(monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with cpu_seconds.on_path():
        assert (Path(os.environ["PYTHONPATH"]) / "cpu_seconds.py").is_file()
    assert "PYTHONPATH" not in os.environ
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    with cpu_seconds.on_path():
        assert os.environ["PYTHONPATH"].endswith(f"{os.pathsep}elsewhere")
    assert os.environ["PYTHONPATH"] == "elsewhere"
