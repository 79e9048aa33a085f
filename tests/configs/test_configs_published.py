"""What each searcher's paper or code has published, written down by hand: a config that says something else is seen."""

import pytest
import yaml

from command_line import robnas

DARTS = {  # Liu et al., 2019, §3.1 and authors' code
    "model.order": "first",
    "model.n_step": 1,
    "model.layers": 8,
    "model.init_channels": 16,
    "model.learning_rate": 0.025,
    "model.learning_rate_min": 0.001,
    "model.momentum": 0.9,
    "model.weight_decay": 3e-4,
    "model.gradient_clip": 5.0,
    "model.architecture_learning_rate": 3e-4,
    "model.architecture_weight_decay": 1e-3,
    "model.architecture_warmup": 0,
    "model.searcher.gamma": 1.0,
    "model.searcher.init_scale": 1e-3,
    "data.batch_size": 64,
    "data.cutout": 0.0,
    "trainer.max_epochs": 50,
}
CELLS = {"model.space.nodes": 5, "model.space.loose_ends": True, "model.space.repeats": True}
"""Of NASNet, AmoebaNet and ENAS; the others have DARTS's four nodes, each of two different sources."""
PUBLISHED = {
    "darts": DARTS,
    "darts_i": DARTS | {"model.n_step": 5},  # §5.2
    "pc_darts": DARTS  # Xu et al., 2020, §4.2
    | {
        "model.searcher.partial": 4,
        "model.learning_rate": 0.1,
        "model.learning_rate_min": 0.0,
        "model.architecture_learning_rate": 6e-4,
        "model.architecture_warmup": 15,
        "data.batch_size": 256,
    },
    "pdarts": DARTS  # Chen et al., 2019, §4.2
    | {
        "model.layers": 5,
        "model.searcher.add_layers": [0, 6, 12],
        "model.searcher.keep": [6, 4],  # 5 and 3 of eight
        "model.searcher.dropout": [0.0, 0.4, 0.7],
        "model.searcher.max_skips": 2,
        "model.learning_rate_min": 0.0,
        "model.architecture_learning_rate": 6e-4,
        "model.architecture_warmup": 10,
        "data.batch_size": 96,
        "trainer.max_epochs": 75,
    },
    "drnas": DARTS  # Chen et al., 2021, authors' code
    | {
        "model.layers": 20,
        "model.init_channels": 36,
        "model.searcher.partial": [6, 4],
        "model.searcher.keep": [6],  # 4 of seven
        "model.searcher.divergence": 1e-3,
        "model.learning_rate": 0.1,
        "model.learning_rate_min": 0.0,
        "model.architecture_learning_rate": 6e-4,
        "model.architecture_weight_decay": 0.0,  # the divergence has its place
        "model.architecture_warmup": 10,
    },
    "sgas": DARTS  # Li et al., 2020, §4.1
    | {"model.searcher.criterion": 1, "model.searcher.warmup": 10, "model.searcher.every": 5, "model.searcher.history": 4},
    "snas": DARTS  # Xie et al., 2019, authors' code
    | {
        "model.order": "joint",
        "model.searcher.temperature": 1.0,
        "model.searcher.temperature_end": 0.03,
        "model.searcher.init_scale": 0.01,
        "trainer.max_epochs": 150,
    },
    "enas": CELLS  # Pham et al., 2018, §3.2 and authors' code
    | {
        "model.evaluator": "SharedWeights",
        "model.searcher.learning_rate": 3.5e-4,
        "model.searcher.tanh_constant": 2.5,
        "model.searcher.temperature": 5.0,
        "model.layers": 8,
        "model.init_channels": 20,
        "model.learning_rate": 0.05,
        "model.learning_rate_min": 0.001,
        "model.weight_decay": 1e-4,
        "data.batch_size": 160,
        "trainer.max_epochs": 310,
    },
    "nasnet": CELLS  # Zoph et al., 2018, A.3 and A.6
    | {
        "model.evaluator": "TrainedChild",
        "model.evaluator.epochs": 20,
        "model.evaluator.layers": 8,
        "model.searcher.learning_rate": 3.5e-4,
        "model.searcher.entropy_weight": 1e-5,
        "model.searcher.baseline_decay": 0.95,
        "model.searcher.hidden": 100,
        "model.proposals": 20,
        "trainer.max_epochs": 1000,  # 20,000 children
    },
    "amoebanet": CELLS  # Real et al., 2019, §3 and §4
    | {
        "model.evaluator": "TrainedChild",
        "model.evaluator.epochs": 25,
        "model.evaluator.layers": 11,
        "model.evaluator.init_channels": 24,
        "model.searcher.population": 100,
        "model.searcher.tournament": 25,
        "model.searcher.identity": 0.05,
        "model.proposals": 10,
        "trainer.max_epochs": 2000,  # 20,000 children
    },
    "random": {  # Li and Talwalkar, 2019, §3.2
        "model.evaluator": "SharedWeights",
        "model.proposals": 3,  # for each of 390 batches: 1,170 architectures
        "model.weight_epochs": -1,
        "model.layers": 8,
        "model.init_channels": 16,
        "model.learning_rate": 0.025,
        "data.batch_size": 64,
        "trainer.max_epochs": 150,
    },
}


def test_every_searcher_has_its_row():
    from every_searcher import NAMES

    assert set(NAMES) <= set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_config_has_the_published_numbers(name, capsys):
    said = robnas(f"fit --config {name} --print_config", capsys)
    assert said.status == 0, said.err
    config = yaml.safe_load(said.out)
    assert {key: found(config, key) for key in PUBLISHED[name]} == PUBLISHED[name]


def found(config: dict, key: str):
    """What stands at a dotted key; of an object whose class is meant, that class's name."""
    node = config
    for part in key.split("."):
        node = node.get("init_args", node) if part not in node else node
        node = node[part]
    return node["class_path"].rpartition(".")[2] if isinstance(node, dict) else node
