"""Rows: written whole, replaced by their own re-run, read whatever lies in the file."""

import json
import math
import multiprocessing

import numpy as np
import pytest

from robnas.errors import UserError
from robnas.provenance import init_arguments, outcomes_name
from robnas.results import Row, Rows

FIELDS = [
    *("job", "study", "dataset", "model", "family", "victim", "search_seed", "train_seed", "attack_seed", "kind", "plugin", "protocol"),
    *("params", "access", "norm", "queries", "metric", "value", "n", "eligible", "errored", "ci", "ci_method", "flags", "checks"),
    *("outcomes", "seconds"),
    *("versions", "commit"),
]


def row(value: float | None = 0.5, **fields) -> Row:
    return Row(**({"metric": "asr", "value": value, "job": "3fa9", "plugin": "pgd", "params": {"eps": 8 / 255}} | fields))


def test_a_line_has_the_documented_fields_in_their_order(tmp_path):
    rows = Rows(tmp_path / "run" / "results.jsonl")
    rows.write([row(ci=(0.4, 0.6))])
    assert list(json.loads(rows.path.read_text())) == FIELDS
    assert rows.read() == [row(ci=(0.4, 0.6))]


def test_a_rerun_replaces_its_own_rows_and_no_other(tmp_path):
    rows = Rows(tmp_path / "results.jsonl")
    rows.write(
        [row(0.1), row(0.2, metric="robust_accuracy"), row(0.3, params={"eps": 4 / 255}), row(0.4, job="77"), row(0.5, plugin="apgd")]
    )
    rows.write([row(0.9, seconds=3.0), row(0.8, metric="robust_accuracy")])
    assert sorted(r.value for r in rows.read()) == [0.3, 0.4, 0.5, 0.8, 0.9]
    assert len(rows.path.read_text().splitlines()) == 5


@pytest.mark.parametrize("other", [{"victim": "b"}, {"attack_seed": 1}, {"dataset": "svhn"}])
def test_another_victim_seed_or_dataset_is_another_measurement(tmp_path, other):
    rows = Rows(tmp_path / "results.jsonl")
    same = {"victim": "a", "attack_seed": 0, "dataset": "cifar10"}
    rows.write([row(0.1, **same)])
    rows.write([row(0.2, **(same | other))])
    rows.write([row(0.3, **same)])
    assert [r.value for r in rows.read()] == [0.2, 0.3]
    assert outcomes_name("pgd", {}, *same.values()) != outcomes_name("pgd", {}, *(same | other).values())


def test_parameters_are_compared_by_value_not_by_order(tmp_path):
    rows = Rows(tmp_path / "results.jsonl")
    rows.write([row(params={"a": 1, "b": (1, 2)})])
    rows.write([row(0.7, params={"b": [1, 2], "a": 1})])
    assert [r.value for r in rows.read()] == [0.7]


def test_lines_that_cannot_be_read_are_named_passed_over_and_kept(tmp_path):
    rows = Rows(tmp_path / "results.jsonl")
    rows.write([row(0.1), row(0.2, metric="x")])
    lines = rows.path.read_text().splitlines()
    rows.path.write_text("\n".join([lines[0], lines[1][:40], "[]", "", lines[1]]))
    with pytest.warns(UserWarning, match="line 2, 3 cannot be read"):
        assert [r.value for r in rows.read()] == [0.1, 0.2]
    rows.write([row(0.3)])
    kept = rows.path.read_text().splitlines()
    assert lines[1][:40] in kept
    assert len(kept) == 4


def test_what_a_newer_version_wrote_is_kept(tmp_path):
    rows = Rows(tmp_path / "results.jsonl")
    newer = {"metric": "auc", "value": 0.5, "colour": "blue"}
    rows.path.write_text(json.dumps(newer) + "\n")
    rows.write([row()])
    assert json.loads(rows.path.read_text().splitlines()[0]) == newer
    assert rows.read()[0].metric == "auc"


def test_no_number_is_null_and_infinity_a_word(tmp_path):
    rows = Rows(tmp_path / "results.jsonl")
    rows.write([row(math.nan, params={"eps": math.inf, "n": np.int64(3)}, n=0)])
    back = rows.read()[0]
    assert back.value is None
    assert back.params == {"eps": "inf", "n": 3}


def test_a_write_that_fails_changes_nothing(tmp_path, monkeypatch):
    rows = Rows(tmp_path / "results.jsonl")
    rows.write([row()])
    before = rows.path.read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        rows.write([row(0.9)])
    assert rows.path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [rows.path]


def _write(path, job: str) -> None:
    for n in range(10):
        Rows(path).write([row(metric=f"m{n}", job=job)])


def test_writers_at_the_same_time_lose_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(tmp_path / "results.jsonl", job)) for job in "ab"]
    for p in writers:
        p.start()
    for p in writers:
        p.join()
    assert len(Rows(tmp_path / "results.jsonl").read()) == 20


def test_outcomes_come_back(tmp_path):
    rows = Rows(tmp_path / "results.jsonl")
    outcomes = {"index": np.arange(3), "success": np.array([True, False, True]), "distance": np.array([0.1, np.inf, np.nan])}
    where = rows.write_outcomes(outcomes_name("pgd", {"eps": 0.1}), outcomes)
    assert where.startswith("outcomes/pgd-")
    back = rows.read_outcomes(row(outcomes=where))
    assert all(np.array_equal(back[k], v, equal_nan=v.dtype.kind == "f") for k, v in outcomes.items())
    assert outcomes_name("pgd", {"eps": 0.1}) != outcomes_name("pgd", {"eps": 0.2})
    for missing in (row(), row(outcomes="outcomes/none.npz")):
        with pytest.raises(UserError, match="no outcomes"):
            rows.read_outcomes(missing)


def test_init_arguments_of_a_plugin_and_of_its_bases():
    class Base:
        def __init__(self, steps: int = 1) -> None:
            self.steps = steps

    class Mine(Base):
        def __init__(self, eps: float = 0.1, **kwargs) -> None:
            super().__init__(**kwargs)
            self.eps = eps

    class Forgetful(Base):
        def __init__(self, beta: float = 0.1) -> None:
            super().__init__()

    assert init_arguments(Mine(0.2, steps=3), Base) == {"eps": 0.2, "steps": 3}
    with pytest.raises(TypeError, match="'beta'"):
        init_arguments(Forgetful(), Base)


def test_flags_are_kept_and_old_rows_have_none(tmp_path):
    store = Rows(tmp_path / "results.jsonl")
    store.write([Row(metric="asr", value=0.5, flags=["random"])])
    assert store.read()[0].flags == ["random"]
    assert Row.from_dict({"metric": "asr", "value": 0.5}).flags == []
