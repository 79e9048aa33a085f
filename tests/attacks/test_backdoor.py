"""The shape of backdoors: what is stamped, what is measured, and that it happens once."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback

import robnas
from robnas import listing
from robnas.attacks.backdoor import Backdoor, BadNets, Blended, CleanLabel, Trigger, TrojanNN, measure
from robnas.attacks.backdoor.planting import choose
from robnas.attacks.backdoor.trigger import FILE, read
from robnas.attacks.poisoning import LabelFlip
from robnas.attacks.poisoning.record import COPY, LABEL, PIXELS, Record
from robnas.errors import UserError
from robnas.results import Rows
from robnas.runtime.final_test import final_test
from small_backdoor import begun, clean
from small_poisoned import Colours, Stop, StopAt, colours, fit, same


class Seen(Callback):
    """By epoch, what training saw, in order."""

    def __init__(self):
        self.x, self.y = {}, {}

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        for x, y, i in zip(*batch, strict=True):
            self.x[trainer.current_epoch, int(i)], self.y[int(i)] = x.clone(), int(y)


def badnets(**arguments):
    return BadNets(**{"target": 1, "share": 0.2, "clean": "none", "pictures": False} | arguments)


def trojan(**arguments):
    return TrojanNN(**{"target": 1, "share": 0.2, "observed": 32, "n_neurons": 2, "pictures": False} | arguments)


def by_metric(folder):
    return {row.metric: row for row in Rows(folder / "results.jsonl").read() if row.access == "training"}


# What is stamped


def test_the_share_is_exact_nested_and_of_other_classes():
    pool, y = torch.arange(0, 300, 2), torch.arange(300) % 3
    kept = torch.empty(0, dtype=torch.int64)
    for share in (0.0, 0.013, 0.1, 0.5, 2 / 3):
        chosen = choose(pool, y[pool] != 1, share, 5, "others")
        assert len(chosen) == round(share * 150)
        assert (y[chosen] != 1).all()
        assert torch.isin(chosen, pool).all()
        assert torch.isin(kept, chosen).all()
        assert torch.equal(chosen, chosen.sort().values)
        kept = chosen
    with pytest.raises(UserError, match=r"share: 0.7 of 150 training inputs are 105, but there are only 100 others"):
        choose(pool, y[pool] != 1, 0.7, 5, "others")


@pytest.mark.parametrize("stamp", ["before", "after"])
@pytest.mark.parametrize("copies", [False, True])
def test_training_sees_the_trigger_and_the_target_class(tmp_path, stamp, copies):
    seen, data = Seen(), colours()
    attack = badnets(stamp=stamp, copies=copies)
    fit(tmp_path, attack, seen, data=data, max_epochs=1)
    record, y = Record.read(tmp_path), data.sets()[0].y
    assert len(record) == 32
    assert (record.kind == LABEL + PIXELS + (COPY if copies else 0)).all()
    assert (record.new == 1).all()
    assert (record.old != 1).all()
    assert (record.index >= 200).all() == copies
    _, pool = data.trained_on()
    assert len(pool) == 160 + 32 * copies
    fresh = colours()
    fresh.setup()
    whole = 0
    for i in record.index.tolist():
        if (0, i) not in seen.x:
            continue  # 192 make six batches: all; 160 make five: all
        source = int(record.source[record.index == i][0])
        batch = fresh.sets()[0].__getitems__(torch.tensor([source]))._replace(index=torch.tensor([i]))
        if stamp == "before":
            expected = fresh.augmented(batch._replace(x=attack.made.stamp(batch.x)), 0).x
        else:
            expected = attack.made.stamp(fresh.augmented(batch, 0).x)
        torch.testing.assert_close(seen.x[0, i], expected[0])
        assert seen.y[i] == 1
        whole += 1
    assert whole == 32
    clean_ones = [i for i in seen.y if i not in record.index]
    assert all(seen.y[i] == y[i] for i in clean_ones)
    batch = fresh.sets()[0].__getitems__(torch.tensor(clean_ones[:1]))
    torch.testing.assert_close(seen.x[0, clean_ones[0]], fresh.augmented(batch, 0).x[0])
    assert torch.equal(torch.cat([b.x for b in data.val_dataloader()]), torch.cat([b.x for b in fresh.val_dataloader()]))


def test_clean_labels_stay_and_inputs_are_moved_no_further_than_eps(tmp_path):
    attack, data = CleanLabel(target=1, share=0.1, eps=16 / 255, steps=3, clean="none", pictures=False), colours()
    fit(tmp_path, attack, data=data, model=begun(), max_epochs=1)
    record, images = Record.read(tmp_path), data.sets()[0]
    assert (record.new == record.old).all()
    assert (record.new == 1).all()
    assert len(record) == 16
    poisoned, _ = data.trained_on()
    index = torch.from_numpy(record.index)
    before, after = images.__getitems__(index).x.int(), poisoned.__getitems__(index).x.int()
    inside = (after - before).abs()[..., :5, :5]  # outside of the patch
    assert inside.max() <= 16
    assert inside.float().mean() > 4  # three steps of 1.6
    assert after[0, 0, -3:, -3:].tolist() == [[255, 0, 255], [0, 255, 0], [255, 0, 255]]
    model = robnas.load(clean())
    loss = [torch.nn.functional.cross_entropy(model(x / 255), torch.ones(16, dtype=torch.int64)) for x in (before, attack.notes["pixels"])]
    assert loss[1] > 2 * loss[0]  # hard, as far as four colours can be
    apart = CleanLabel(target=1, share=0.1, steps=3, against=str(clean()), clean="none", pictures=False)
    fit(tmp_path / "scratch", apart, max_epochs=1)
    assert torch.equal(apart.notes["pixels"], attack.notes["pixels"])
    with pytest.raises(UserError, match=r"there are only 4\d that may be stamped"):
        fit(tmp_path / "b", CleanLabel(target=1, share=0.5, eps=0, clean="none"))


def test_an_author_writes_a_trigger(tmp_path):
    class Dot(Backdoor):
        """One white pixel."""

        def trigger(self, model, data):
            assert not model.training
            return Trigger(torch.ones(1, 1, 1), torch.ones(3, 1, 1), (4, 4))

    trainer, model, data = fit(tmp_path, Dot(target=2, share=0.1, clean="none"), max_epochs=1)
    final_test(trainer, model, data)
    assert set(by_metric(tmp_path)) == {"asr", "stamped"}
    assert (tmp_path / "figures" / "dot-trigger.png").stat().st_size > 1000
    assert not (tmp_path / "figures" / "dot-stamped.png").exists()  # images of a data set of the user's own


# What is measured


def test_the_success_rate_leaves_the_target_class_out_by_hand():
    found = {
        "index": np.arange(6),
        "label": np.array([0, 0, 1, 2, 1, 2]),
        "m_stamped": np.array([0, 0, 0, 1, 0, 0]),
        "m_errored": np.array([False, False, False, False, False, True]),
    }
    among = measure.eligible(found, 0)
    assert among.tolist() == [False, False, True, True, True, True]
    rate = measure.success_rate(found, "m", 0, among)
    assert (rate.value, rate.n, rate.flags) == (pytest.approx(2 / 3), 3, ("1 inputs without an answer",))
    everything = measure.success_rate(found, "m", 0, measure.eligible(found, 0, with_target=True))
    assert (everything.value, everything.n) == (pytest.approx(4 / 5), 5)
    first = measure.success_rate(found, "m", 0, measure.eligible(found, 0, most=4))
    assert (first.value, first.n) == (pytest.approx(1 / 2), 2)
    assert measure.success_rate(found, "m", 3, np.zeros(6, dtype=bool)).value is None


def test_rows_outcomes_and_the_clean_model_by_a_plain_loop(tmp_path):
    before = {path: path.read_bytes() for path in clean().rglob("*") if path.is_file()}
    attack = badnets(clean=None, share=0.3, size=5, pictures=True)
    trainer, model, data = fit(tmp_path, attack, model=begun(), data=colours(augment=False), max_epochs=8)
    tested = final_test(trainer, model, data)
    assert {path: path.read_bytes() for path in before} == before  # the clean checkpoint stays as it was
    found = by_metric(tmp_path)
    x, y = data.sets()[1].x, data.sets()[1].y
    with torch.no_grad():
        pairs = {"asr": robnas.load(tmp_path), "asr_clean_model": robnas.load(clean())}
        answers = {name: it(attack.made.stamp(x).float() / 255).argmax(1) for name, it in pairs.items()}
        honest = (robnas.load(clean())(x.float() / 255).argmax(1) == y).float().mean()
    for name, answer in answers.items():
        assert found[name].value == pytest.approx(float((answer[y != 1] == 1).float().mean()))
        assert found[name].n == 30
        assert found[name].ci_method == "wilson"
    assert found["asr"].value > 0.9
    assert found["asr_clean_model"].value < 0.5
    assert found["cad"].value == pytest.approx(float(honest) - tested.value)
    assert found["cad"].n == 40
    assert found["stamped"].value == 48 / 160
    assert found["asr"].params["target"] == 1
    outcomes = Rows(tmp_path / "results.jsonl").read_outcomes(found["asr"])
    assert outcomes["index"].tolist() == list(range(40))
    assert outcomes["success"][outcomes["eligible"]].mean() == pytest.approx(found["asr"].value)
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["hyper_parameters"]["attacked"]["badnets"]["share"] == 0.3
    assert (tmp_path / "figures" / "badnets-stamped.png").is_file()
    n = len(Rows(tmp_path / "results.jsonl").read())
    final_test(trainer, model, data)
    assert len(Rows(tmp_path / "results.jsonl").read()) == n  # replaced, not doubled


def test_the_trojan_trigger_excites_the_neurons_of_the_clean_model(tmp_path):
    attack = trojan(neurons="largest_weight", transparency=0.0, steps=20)
    trainer, model, data = fit(tmp_path, attack, model=begun(), max_epochs=1)
    _, drawn, made = attack.notes["activations"].mean(1).tolist()
    assert made > drawn
    final_test(trainer, model, data)
    found = by_metric(tmp_path)
    assert (found["activation_drawn"].value, found["activation"].value) == (pytest.approx(drawn), pytest.approx(made))
    assert read(tmp_path)["neurons"].tolist() == attack.notes["neurons"].tolist()
    assert (tmp_path / "figures" / "trojannn-activations.png").is_file()


def test_a_share_of_nothing_is_the_clean_training(tmp_path):
    _, with_it, _ = fit(tmp_path / "a", badnets(share=0.0, stamp="after"))
    _, without, _ = fit(tmp_path / "b")
    assert same(with_it, without)
    _, stamped, _ = fit(tmp_path / "c", badnets(share=0.1, stamp="after"))
    assert not same(stamped, without)  # the comparison can fail


# Over a kill


@pytest.mark.parametrize("step", [3, 9])
@pytest.mark.parametrize("make", [trojan, lambda: CleanLabel(target=1, share=0.1, steps=2, pictures=False)])
def test_a_killed_run_goes_on_with_its_trigger(tmp_path, step, make):
    _, whole, _ = fit(tmp_path / "whole", make(), model=begun(), save_every_n_steps=2)
    with pytest.raises(Stop):
        fit(tmp_path / "left", make(), StopAt(step), model=begun(), save_every_n_steps=2)
    before = (tmp_path / "left" / FILE).read_bytes()
    (tmp_path / "left" / FILE).unlink()  # the checkpoint knows it
    attack = make()
    attack.trigger = None  # never made again, on a model that is half a trojan by now
    last = str(tmp_path / "left" / "checkpoints" / "last.ckpt")
    _, resumed, data = fit(tmp_path / "left", attack, model=begun(), save_every_n_steps=2, ckpt=last)
    assert same(whole, resumed)
    assert (tmp_path / "left" / FILE).read_bytes() == before == (tmp_path / "whole" / FILE).read_bytes()
    assert Record.read(tmp_path / "left").digest == Record.read(tmp_path / "whole").digest
    assert len(data.trained_on()[1]) == 160 + len(Record.read(tmp_path / "left")) * attack.copies  # not twice


def test_a_run_that_would_be_stamped_otherwise_does_not_go_on(tmp_path):
    fit(tmp_path / "a", badnets(), max_epochs=1)
    last = str(tmp_path / "a" / "checkpoints" / "last.ckpt")
    with pytest.raises(UserError, match="other inputs were stamped"):
        fit(tmp_path / "a", badnets(seed=9), max_epochs=2, ckpt=last)
    fit(tmp_path / "b", max_epochs=1)
    with pytest.raises(UserError, match="a training without badnets"):
        fit(tmp_path / "b", badnets(), max_epochs=2, ckpt=str(tmp_path / "b" / "checkpoints" / "last.ckpt"))


def test_a_run_that_went_on_from_a_trojan_is_no_clean_one(tmp_path):
    trainer, model, data = fit(tmp_path / "trojan", badnets(), max_epochs=1)
    final_test(trainer, model, data)
    trainer, model, data = fit(tmp_path / "tuned", model=begun(init_from=str(tmp_path / "trojan")), max_epochs=1)
    final_test(trainer, model, data)
    assert not by_metric(tmp_path / "tuned")  # nothing was done to its own training
    with pytest.raises(UserError, match=r"clean: the training of .*tuned was itself attacked"):
        fit(tmp_path / "held", badnets(clean=str(tmp_path / "tuned")), max_epochs=1)
    assert listing._model(Rows(tmp_path / "tuned" / "results.jsonl").read(), "resnet").endswith(" + badnets")


def test_a_trigger_made_in_half_precision_is_kept(tmp_path):
    attack = trojan()
    fit(tmp_path, attack, model=begun(), max_epochs=1, precision="bf16-true")
    kept = Trigger.read(tmp_path)
    assert kept.pattern.dtype == torch.float32
    assert torch.equal(kept.pattern, attack.made.pattern)


# Refusals


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: badnets(size=9), "9×9 pixels are larger than the image of 8×8"),
        (lambda: badnets(target=4), "target: there is no class 4; the data have 0 … 3"),
        (lambda: badnets(target=-1), "target: -1"),
        (lambda: badnets(share=0.9), "only .* other than the target class"),
        (lambda: badnets(share=1.5), r"share: 1.5 is not in \[0, 1\]"),
        (lambda: badnets(stamp="befor"), "Did you mean 'before'"),
        (lambda: badnets(clean="start"), "clean: start: this training starts from no other"),
        (lambda: badnets(clean="nowhere"), "clean: 'nowhere'"),
        (lambda: badnets(max_inputs=0), "max_inputs: 0"),
        (lambda: trojan(), "it is made on a clean model, which init_from names"),
        (lambda: CleanLabel(clean="none"), "it is made on a clean model, which against names"),
        (lambda: trojan(neurons="lowest"), "Did you mean 'lowest_mean'"),
        (lambda: trojan(neurons=[]), r"neurons: \[\] does not name at least one"),
        (lambda: trojan(neurons=[3, 3]), r"neurons: \[3, 3\] does not name .* each once"),
        (lambda: trojan(transparency=1.0), "transparency: 1.0"),
        (lambda: Blended(transparency=-0.1), "transparency: -0.1"),
    ],
)
def test_refusals_are_one_line(tmp_path, make, says):
    with pytest.raises(UserError, match=says):
        fit(tmp_path, make())
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"layer": "layer5"}, r"unknown layer 'layer5'. Did you mean '.*layer\d'"),
        ({"n_neurons": 4096}, "n_neurons: 4096, but pooled has"),
        ({"neurons": [0, 4096]}, "there is no neuron 4096"),
        ({"layer": "layer2"}, "has no weights of its own"),
        ({"size": 9}, "larger than the image"),
    ],
)
def test_refusals_of_what_the_model_does_not_have(tmp_path, arguments, says):
    with pytest.raises(UserError, match=says):
        fit(tmp_path, trojan(**arguments), model=begun())


def test_neither_two_backdoors_nor_one_on_an_attacked_model(tmp_path):
    with pytest.raises(UserError, match="one backdoor or poisoning a training"):
        fit(tmp_path / "a", badnets(), LabelFlip(clean="none"))
    fit(tmp_path / "b", badnets(), max_epochs=1)
    with pytest.raises(UserError, match=r"the training of .* was itself attacked \(badnets\)"):
        fit(tmp_path / "c", badnets(), model=begun(init_from=str(tmp_path / "b")))


def test_models_of_other_data_are_refused(tmp_path):
    class Halved(Colours):
        """Another size, another name."""

        name = "Halved"
        image_shape = (3, 4, 4)

        def load(self):
            train, test = super().load()
            return replace(train, x=train.x[..., ::2, ::2].contiguous()), replace(test, x=test.x[..., ::2, ::2].contiguous())

    data = {"batch_size": 32, "seed": 0, "validation": 0.2}
    hard = CleanLabel(target=1, share=0.1, against=str(clean()), clean="none")
    with pytest.raises(UserError, match=r"is for 4 classes of images of 3×8×8; this fit is for 4 classes of images of 3×4×4"):
        fit(tmp_path / "a", hard, data=Halved(**data))
    with pytest.raises(UserError, match=r"clean: .* was tested on Colours, this fit on Halved"):
        fit(tmp_path / "b", badnets(clean=str(clean())), data=Halved(**data))
