"""What `scale: tiny` means for a part of the model reaches the model and the trainer, and counts more than what the model says."""

from robnas.configuration import files
from robnas.configuration.naming import expand
from robnas.configuration.reading import read_file
from robnas.configuration.scaling import layer


def tiny(name: str) -> dict:
    return layer(expand(read_file(files.shipped()[f"{name}.yaml"])), "tiny")


def test_a_searcher_may_scale_its_task():
    darts, pc_darts = (tiny(name)["model"]["init_args"] for name in ("darts", "pc_darts"))
    assert "architecture_warmup" not in darts
    assert pc_darts["architecture_warmup"] == 2
    assert (darts["init_channels"], pc_darts["init_channels"]) == (4, 8)
    assert pc_darts["searcher"]["init_args"] == {"partial": 2}
    assert {k: v for k, v in pc_darts.items() if k not in ("searcher", "init_channels", "architecture_warmup")} == {
        k: v for k, v in darts.items() if k != "init_channels"
    }


def test_a_searcher_may_scale_the_trainer():
    assert tiny("sgas")["trainer"]["max_epochs"] == 10
    assert tiny("darts")["trainer"]["max_epochs"] == 8


def test_an_evaluator_without_weights_is_scaled_too():
    config = read_file(files.shipped()["random.yaml"])
    config["model"]["init_args"]["evaluator"] = {"class_path": "zero_cost", "init_args": {"score": "nwot"}}
    scaled = layer(expand(config), "tiny")["model"]["init_args"]
    assert scaled["evaluator"]["init_args"] == {"layers": 3, "init_channels": 4}
    assert scaled["layers"] == 3  # as many as the task's supernet
