"""From what a user calls a network to a module."""

from pathlib import Path

import pytest
import torch

from robnas.errors import UserError
from robnas.jobs import Job
from robnas.models.build import build, describe
from robnas.space import published

PASTED = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1)], normal_concat=[2], "
    "reduce=[('max_pool_3x3', 0), ('skip_connect', 1)], reduce_concat=[2])"
)


def test_a_published_name_however_it_is_spelt():
    for name in ("pc_darts", "PC-DARTS", "pcdarts"):
        got = describe(name)
        assert (got["name"], got["family"]) == ("pc_darts", "nas")
        assert got["genotype"] == published.find("pc_darts").to_dict()


def test_a_file_a_run_folder_and_pasted_text_of_any_length(tmp_path: Path):
    run = tmp_path / "darts_iii" / "80191c4fb872"
    run.mkdir(parents=True)
    (run / "genotype.yaml").write_text(published.find("enas").to_yaml())
    (tmp_path / "mine.yaml").write_text(published.find("enas").to_yaml())
    genotype = published.find("enas").to_dict()
    assert describe(str(run)) == {"name": "darts_iii-80191c", "family": "nas", "genotype": genotype}
    assert describe(str(run / "genotype.yaml"))["name"] == "darts_iii-80191c"
    assert describe(str(tmp_path / "mine.yaml")) == {"name": "mine", "family": "nas", "genotype": genotype}
    assert describe(PASTED + " " * 5000)["name"] == "pasted"


def test_a_cell_keeps_its_name_in_the_run_that_trained_it(tmp_path: Path):
    """What goes on from that run, a backdoor say, is no other architecture."""
    job = Job("80191c4fb872" * 5, "classify", tmp_path)
    job.start(command=[], network="darts_iii-ac6675")
    (job.folder / "genotype.yaml").write_text(published.find("enas").to_yaml())
    assert describe(str(job.folder))["name"] == describe(str(job.folder / "genotype.yaml"))["name"] == "darts_iii-ac6675"


def test_an_unknown_name_has_a_near_one_and_a_missing_file_is_said_to_be_missing():
    with pytest.raises(UserError, match=r"unknown network 'dartz'. Did you mean 'darts'\?"):
        describe("dartz")
    with pytest.raises(UserError, match="runs/none: no published genotype, no such file"):
        describe("runs/none")


def test_an_option_that_the_network_does_not_have():
    with pytest.raises(UserError, match=r"unknown option of network darts 'layer'. Did you mean 'layers'\?"):
        build(describe("darts"), num_classes=10, image_shape=(3, 32, 32), options={"layer": 3})
    with pytest.raises(UserError, match="unknown size 'huge'"):
        build(describe("darts"), num_classes=10, image_shape=(3, 32, 32), size="huge")


def test_a_description_alone_builds_the_network():
    network = build(describe(PASTED), num_classes=7, image_shape=(1, 16, 16), options={"layers": 3, "init_channels": 4}).eval()
    assert network(torch.rand(2, 1, 16, 16)).shape == (2, 7)
