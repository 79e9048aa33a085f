"""DARTS-i, -ii and -iii are DARTS but for n_step and γ (§5.2): what else differed would be compared with it."""

from pathlib import Path

import pytest
import yaml

CONFIGS = Path(__file__).parents[2] / "configs"


def _without_what_makes_it(name):
    content = yaml.safe_load((CONFIGS / name).read_text("utf-8"))
    for own in ("experiment", "protocol"):
        content.pop(own, None)
    content["model"]["init_args"].pop("n_step")
    content["model"]["init_args"]["searcher"].pop("init_args", None)
    return content


@pytest.mark.parametrize("name", ["darts_i.yaml", "darts_ii.yaml", "darts_iii.yaml", "darts_ii/paper.yaml", "darts_iii/paper.yaml"])
def test_only_n_step_and_gamma_differ_from_darts(name):
    assert _without_what_makes_it(name) == _without_what_makes_it("darts.yaml")
