"""Names in print, and where models stand."""

import pytest

from robnas.report import names


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
