"""Names in print, and where models stand."""

import json

import pytest

from made_rows import Made
from robnas.report import names
from robnas.report.collected import Collected


@pytest.mark.parametrize(
    ("name", "printed"),
    [("pc_darts", "PC-DARTS"), ("PC-DARTS", "PC-DARTS"), ("darts_iii-ac6675", "DARTS-iii (ac6675)"), ("mine-ac6675", "mine-ac6675")],
)
def test_a_model_in_print(name, printed):
    assert names.model(name) == printed


def test_a_found_cell_stands_behind_its_searchers_published_one():
    models = [("resnet", "manual"), ("mine", "nas"), ("darts_iii-ac6675", "nas"), ("darts_iii", "nas"), ("darts", "nas")]
    in_order = [model for model, _ in sorted(models, key=lambda pair: names.order(*pair))]
    assert in_order == ["darts", "darts_iii", "darts_iii-ac6675", "mine", "resnet"]


def test_the_victim_of_a_found_cells_thief_is_the_network_and_not_the_search(tmp_path):
    made = Made(tmp_path)
    search = made.add("darts_iii", 0, "digits", "stages", 1.0, experiment="darts_iii", kind="search")
    victim = made.add("darts_iii", 0, "digits", "accuracy", 0.9, treatment="-3fa9c1", kind="train", run="of")
    theft = made.add("darts_iii", 100, "digits", "ace", 0.3, experiment="knockoff", kind="attack", plugin="knockoff")
    made.write()
    note = tmp_path / theft / "job.json"
    identities = {place: json.loads((tmp_path / place / "job.json").read_text())["identity"] for place in (search, victim)}
    note.write_text(json.dumps(json.loads(note.read_text()) | {"upstream": identities}))
    collected = Collected.read(tmp_path)
    (found,) = [found for found in collected.rows if found.row.kind == "attack"]
    assert collected.victim(found) == ("darts_iii-3fa9c1", "nas")
