"""What makes a report of many rows fast must change nothing in it."""

import io
import json
import math
from itertools import product
from pathlib import Path

import pytest

from robnas.report.collected import Collected
from robnas.report.progress import PATIENCE, Said
from robnas.report.reading import read_row, read_rows
from robnas.results import Row, Rows
from robnas.space import published
from robnas.space.layout import crossings, layout


def test_a_row_is_what_it_was_written_as(tmp_path: Path) -> None:
    rows = [Row("asr", 0.5, job="a", params={"eps": 0.1}, ci=(0.4, math.inf), flags=["few"]), Row("asr", 1, job="a", ci=None)]
    (tmp_path / "rows.jsonl").write_text("".join(f"{row.to_json()}\n" for row in rows))
    found, said = read_rows(tmp_path / "rows.jsonl")
    assert found[1] == rows[1]
    assert found[0].params == rows[0].params
    assert not said
    assert read_row({"metric": "auc", "value": 1.0}) == Row("auc", 1.0)
    assert read_row({"metric": "auc", "value": 1.0}).params is not read_row({"metric": "auc", "value": 1.0}).params


def test_rows_of_a_kind_that_was_seen_are_still_checked() -> None:
    assert read_row({"metric": "asr", "value": 0.5, "n": 3}).n == 3
    for wrong in ("3", True, 1.5):
        with pytest.raises(TypeError, match="n is no"):
            read_row({"metric": "asr", "value": 0.5, "n": wrong})
    assert read_row({"metric": "asr", "value": 0.5, "colour": "red"}) == Row("asr", 0.5)


def test_a_row_of_several_folders_is_there_once(tmp_path: Path) -> None:
    row = Row("asr", 0.5, job="a", model="vgg", family="manual", plugin="pgd", params={"eps": 0.1, "steps": 2})
    turned = Row("asr", 0.6, job="a", model="vgg", family="manual", plugin="pgd", params={"steps": 2, "eps": 0.1})
    other = Row("asr", 0.7, job="a", model="vgg", family="manual", plugin="pgd", params={"eps": 0.2, "steps": 2})
    for place, own in (("1", [row]), ("2", [turned, other]), ("3", [other])):
        Rows(tmp_path / "classify" / place / "results.jsonl").write(own)
    collected = Collected.read(tmp_path)
    assert [(found.place, found.value) for found in collected.rows] == [("classify/1", 0.5), ("classify/2", 0.7)]
    assert sum("passed over" in note.what for note in collected.notes) == 2


def test_selecting_by_several_values_keeps_the_order_of_rows(tmp_path: Path) -> None:
    metrics = ["asr", "auc", "cad"]
    rows = [Row(metric, i / 10, job="a", model="vgg", plugin="pgd", params={"i": i}) for i, metric in enumerate(metrics * 3)]
    Rows(tmp_path / "classify" / "1" / "results.jsonl").write(rows)
    found = Collected.read(tmp_path).select(metric=("cad", "asr"), plugin="PGD")
    assert [one.params["i"] for one in found] == [0, 2, 3, 5, 6, 8]
    assert not Collected.read(tmp_path).select(metric=())


def test_progress_is_silent_where_it_is_fast_and_speaks_where_it_is_not() -> None:
    now, file = [0.0], io.StringIO()
    said = Said(file, lambda: now[0])
    for now[0], what in ((1.0, "a"), (PATIENCE + 0.1, "b"), (PATIENCE + 1, "c"), (2 * PATIENCE + 1, "d")):
        said(what)
    said.done()
    assert file.getvalue() == "report: b …\nreport: d …\n"


def test_crossings_are_those_of_each_two_lines() -> None:
    for name in ("darts", "amoebanet"):
        placed = layout(published.entry(name).genotype.normal)
        for upper, lower in zip(placed.layers, placed.layers[1:], strict=False):
            for order in (lower, lower[::-1]):
                at = {id(v): i for i, v in enumerate(order)}
                lines = [(i, at[id(w)]) for i, v in enumerate(upper) for w in v.after]
                assert crossings(upper, order) == sum(a < c and b > d for (a, b), (c, d) in product(lines, lines))


def test_json_is_read_strictly(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"metric": "asr", "value": math.nan}) + '\n{"metric": "asr", "va')
    found, said = read_rows(tmp_path / "rows.jsonl")
    assert not found
    assert len(said) == 2
