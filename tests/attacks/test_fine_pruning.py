"""Fine-pruning: what sleeps is cut out and stays out, and a backdoor's success is told before and after."""

import pytest
import torch

import robnas
from robnas.attacks.backdoor import BadNets
from robnas.attacks.backdoor.neurons import Activations, Layer, locate
from robnas.attacks.defences.fine_pruning import FinePruning, asleep, prune
from robnas.errors import UserError
from robnas.results import Rows
from robnas.runtime.final_test import final_test
from small_backdoor import begun, clean
from small_poisoned import Stop, StopAt, colours, fit, same


def by_metric(folder):
    return {row.metric: row for row in Rows(folder / "results.jsonl").read() if row.plugin == "finepruning"}


@pytest.fixture(scope="module")
def trojan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trojan")
    attack = BadNets(target=1, share=0.3, size=5, clean="none", pictures=False)
    trainer, model, data = fit(folder, attack, model=begun(), data=colours(augment=False), max_epochs=8)
    final_test(trainer, model, data)
    return folder


def test_asleep_by_hand():
    assert asleep(torch.tensor([0.5, 0.1, 0.3, 0.1, 0.9]), 0.4).tolist() == [1, 3]
    assert asleep(torch.tensor([0.5, 0.1, 0.3, 0.1, 0.9]), 0.0).tolist() == []


def test_pruned_neurons_carry_nothing():
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2))
    x = torch.rand(5, 3, 6, 6)
    pooled = Layer("3", inputs=True)
    features = Activations(model, pooled)(x)
    prune(model, pooled, torch.tensor([1, 2]))
    expected = features[:, [0, 3]] @ model[3].weight[:, [0, 3]].T + model[3].bias
    torch.testing.assert_close(model(x), expected)
    prune(model, Layer("0", inputs=False), torch.tensor([0]))
    assert Activations(model, Layer("0", inputs=False))(x)[:, 0].abs().max() == 0
    with pytest.raises(UserError, match="a linear layer or a convolution can be pruned"):
        prune(model, Layer("2", inputs=False), torch.tensor([0]))


@pytest.mark.parametrize("layer", ["pooled", "last_convolution"])
def test_the_sleepy_are_cut_out_and_stay_out(tmp_path, trojan, layer):
    keep = FinePruning(share=0.5, layer=layer)
    trainer, model, data = fit(tmp_path, keep, model=begun(init_from=str(trojan)), max_epochs=2)
    start, ended = robnas.load(trojan), robnas.load(tmp_path)
    held = colours().sets()[0].__getitems__(colours().parts()[1]).x.float() / 255
    where = locate(start, layer, held)
    means = Activations(start, where).of(held).mean(0)
    assert keep.pruned.tolist() == asleep(means, 0.5).tolist()
    weight = ended.get_submodule(where.name).weight
    gone = weight[:, keep.pruned] if where.inputs else weight[keep.pruned]
    assert gone.abs().max() == 0
    assert (weight != 0).sum() > 0
    final_test(trainer, model, data)
    found = by_metric(tmp_path)
    assert found["pruned"].value == pytest.approx(0.5, abs=0.02)
    assert found["asr_before"].value > 0.9
    assert {"asr", "asr_pruned", "cad"} <= set(found)
    x, y = data.sets()[1].x, data.sets()[1].y
    from robnas.attacks.backdoor import Trigger

    with torch.no_grad():
        answer = ended(Trigger.read(trojan).stamp(x).float() / 255).argmax(1)
    assert found["asr"].value == pytest.approx(float((answer[y != 1] == 1).float().mean()))
    kept = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["hyper_parameters"]
    assert set(kept["attacked"]) == {"badnets"}  # once attacked, always said
    assert kept["defended"]["finepruning"]["share"] == 0.5


def test_a_run_without_a_trigger_has_no_success_to_tell(tmp_path):
    trainer, model, data = fit(tmp_path, FinePruning(share=0.2), model=begun(), max_epochs=1)
    final_test(trainer, model, data)
    assert set(by_metric(tmp_path)) == {"cad", "pruned"}


@pytest.mark.parametrize("step", [3, 7])
def test_a_killed_run_ends_with_the_same_bits(tmp_path, step):
    def run(folder, *more, ckpt=None):
        return fit(tmp_path / folder, FinePruning(share=0.5), *more, model=begun(), max_epochs=2, save_every_n_steps=2, ckpt=ckpt)

    _, whole, _ = run("whole")
    with pytest.raises(Stop):
        run("left", StopAt(step))
    _, resumed, _ = run("left", ckpt=str(tmp_path / "left" / "checkpoints" / "last.ckpt"))
    assert same(whole, resumed)


def test_refusals(tmp_path):
    with pytest.raises(UserError, match="it mends a trained model, which init_from names"):
        fit(tmp_path, FinePruning())
    with pytest.raises(UserError, match=r"share: 1.0 is not in \[0, 1\)"):
        FinePruning(share=1.0)
    with pytest.raises(UserError, match=r"data\.validation: 0; it prunes"):
        fit(tmp_path, FinePruning(), model=begun(), data=colours(validation=0.0))
    assert clean().is_dir()
