"""What we rely on in jsonargparse and Lightning beyond what they promise. A new version that changes it fails here, by name."""

import inspect

import pytest
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.trainer import Trainer

from robnas.configuration.complaints import one_line


def test_lightning_cli_calls_what_we_override():
    for name in ("parse_arguments", "_parse_ckpt_path", "_set_seed", "instantiate_classes", "instantiate_trainer", "_run_subcommand"):
        assert callable(getattr(LightningCLI, name)), name
    source = inspect.getsource(LightningCLI.__init__)
    order = [
        source.index(f"self.{name}(")
        for name in ("parse_arguments", "_parse_ckpt_path", "_set_seed", "instantiate_classes", "_run_subcommand")
    ]
    assert order == sorted(order)


def test_the_trainers_folder_can_be_set_once_the_run_folder_is_known(tmp_path):
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", barebones=True)
    trainer._default_root_dir = str(tmp_path)
    assert trainer.default_root_dir == str(tmp_path)


UNION = "Does not validate against any of the Union subtypes"


@pytest.mark.parametrize(
    ("message", "config", "line"),
    [
        (
            f"""Parser key "model":\n  {UNION}\n  Subtypes: [<class 'a.LightningModule'>, <class 'NoneType'>]\n  Errors:\n"""
            """    - Parser key "layers":\n        Expected a <class 'int'>. Got value: abc\n    - Expected a <class 'NoneType'>\n"""
            """  Given value type: <class 'dict'>\n  Given value: {}""",
            {"model": {"init_args": {"layers": "abc"}}},
            "model.layers: 'abc' is not a whole number",
        ),
        (
            f"""Parser key "trainer.max_epochs":\n  {UNION}\n  Subtypes: [<class 'int'>, <class 'NoneType'>]\n  Errors:\n"""
            """    - Expected a <class 'int'>\n    - Expected a <class 'NoneType'>\n  Given value type: <class 'str'>\n  Given value: x""",
            {"trainer": {"max_epochs": "x"}},
            "trainer.max_epochs: 'x' is not a whole number",
        ),
        ("Something new,\n  in two lines", {}, "Something new, in two lines"),
    ],
)
def test_complaints_of_jsonargparse_4_53(message, config, line):
    assert one_line(message, config) == line
