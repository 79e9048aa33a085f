"""The probe of cells: of a network, of a search, of what has none; in a search's fit, by hook."""

import copy

import pytest
import torch
from torch import nn

from robnas.copies import digest
from robnas.models.build import build, describe
from robnas.models.normalize import Normalized
from robnas.probes.cells import Cells, genotype_of, numbers
from robnas.results import Rows
from robnas.search.darts import DARTS
from robnas.space import published
from robnas.tasks.search import Search
from small_classifier import classifier, digits, trainer

X, Y = torch.zeros(1, 3, 16, 16), torch.zeros(1, dtype=torch.long)


def network(name):
    options = {"layers": 3, "init_channels": 4} if name in published.names() else None
    return Normalized(build(describe(name), num_classes=10, image_shape=(3, 16, 16), size="tiny", options=options), [0.5], [0.5])


@pytest.mark.parametrize(("name", "depth", "width", "skips"), [("darts", 3, 3, 2), ("darts_iii", 5, 1, 0), ("enas", 2, 5, 2)])
def test_of_a_network_it_is_table_3(name, depth, width, skips):
    model = network(name)
    before = digest(model)
    found = Cells().measure(model, X, Y).values
    assert [found[f"normal/{fact}"] for fact in ("depth", "width", "skips")] == [depth, width, skips]
    assert len(found) == 2 * 2 * 5
    assert digest(model) == before


def test_percentiles_are_those_of_robnas_cell():
    found = numbers(published.find("darts"))
    assert (found["normal/depth_percentile"], found["normal/width_percentile"], found["reduce/skips_percentile"]) == (17.6, 95.0, 97.3)
    assert found["normal/convolutions"] == 6


def test_of_a_manual_network_it_says_that_there_are_no_cells():
    with pytest.warns(UserWarning, match="ResNet has no cells; nothing was measured"):
        assert Cells().measure(network("resnet"), X, Y).values == {}
    assert genotype_of(nn.Linear(2, 2)) is None


@pytest.mark.slow
def test_in_the_fit_of_a_search_it_follows_every_epoch(tmp_path):
    probe = Cells(hooks=("fit_start", "epoch_end"))
    search = Search(DARTS(), layers=3, init_channels=4, learning_rate=0.05, architecture_learning_rate=0.1)
    trainer(tmp_path, callbacks=[probe], max_epochs=2, limit_train_batches=1, limit_val_batches=1).fit(search, digits())
    rows = [row for row in Rows(tmp_path / "results.jsonl").read() if row.plugin == "cells" and row.metric == "normal/depth"]
    assert [row.params["at"] for row in rows] == ["fit_start", "epoch_0", "epoch_1"]
    assert genotype_of(copy.deepcopy(search)) == search.searcher.derive()
    assert rows[-1].value == search.searcher.derive().normal.depth


def test_in_the_fit_of_a_classifier(tmp_path):
    trainer(tmp_path, callbacks=[Cells()], max_epochs=1).fit(classifier(), digits())
    rows = {row.metric: row for row in Rows(tmp_path / "results.jsonl").read() if row.kind == "probe"}
    assert rows["normal/depth"].value == 3
    assert rows["normal/depth"].params["at"] == "fit_end"
