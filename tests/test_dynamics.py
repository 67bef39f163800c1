"""Trainings that change their mask: every gate and hook resumes to the same bits, and keeps what it promises."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small import examples, half_mask, run_of, weights
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import lt_sweeps as lt
from lt_sweeps import masks
from lt_sweeps.check.example import half
from lt_sweeps.gates.gate import Gate, Now, straight_through
from lt_sweeps.graph import Train
from lt_sweeps.hooks.moment import Change, Moment
from lt_sweeps.main import main
from lt_sweeps.masks import TicketTensors
from lt_sweeps.measures.accuracy import evaluate
from lt_sweeps.networks.build import build, initial
from lt_sweeps.randomness import rng
from lt_sweeps.registry import catalogue, load, part
from lt_sweeps.specs import Network, Part
from lt_sweeps.ticket_files.card import BadTicket, read
from lt_sweeps.tickets.load import mask as ticket_mask
from lt_sweeps.tickets.train import train as train_ticket
from lt_sweeps.training import recorder
from lt_sweeps.training.fit import Hardware, Trained, fit
from lt_sweeps.training.progress import Progress, decode_progress, encode_progress
from lt_sweeps.training.recorder import Session, state_digest

CPU = Hardware("cpu")
DIGITS = examples()
CLOCK = {"every": 10, "begin": 10, "until": 40}
GATES = sorted(catalogue("gate"))
HOOKS = sorted(catalogue("hook"))
COUNTED = ("edge_popup", "biprop")  # gates whose density is declared


def gated(name: str, optimizer: str = "sgd", hooks: tuple[Part, ...] = (), **args: Any) -> Train:
    return replace(run_of(optimizer), gate=part("gate", name, args), hooks=hooks, draw=3)


def hooked(name: str, optimizer: str = "sgd", **args: Any) -> Train:
    return replace(run_of(optimizer), hooks=(part("hook", name, {**CLOCK, **args}),), draw=3)


EVERY = {
    **{name: gated(name) for name in GATES},
    **{name: hooked(name) for name in HOOKS},
    "gem and freeze": gated("gem", hooks=(part("hook", "freeze_scores", {**CLOCK, "keep": 0.3}),)),
    "exponential": gated("edge_popup", keep=0.2, ranking="global", schedule="exponential"),
    "rescaled": gated("bernoulli", rescale=True),
    "restored": gated("sign_in", restore_every=0.1, until=0.7),
}


def train(run: Train, **session: Any) -> Trained:
    return fit(run, TicketTensors(weights(), half_mask()), DIGITS, CPU, Session(**session))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("name", EVERY)
def test_every_gate_and_hook_resumes_from_every_checkpoint_to_the_same_bits(
    name: str, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "LOOK_EVERY", 13)
    run, saved = replace(EVERY[name], recipe=run_of(optimizer).recipe), list[bytes]()

    def save(progress: Progress) -> None:
        saved.append(encode_progress(progress, {}))

    whole = train(run, checkpoint=save, wait=lambda cost: 0.0, snapshots=frozenset({20}), keep=state_of)
    assert whole.state is not None
    assert len(saved) >= 1
    for content in saved:
        resumed = train(run, progress=decode_progress(content)[0], snapshots=frozenset({20}), keep=state_of)
        assert resumed.state is not None
        assert state_digest(resumed.state) == state_digest(whole.state)
        assert state_digest(resumed.mask) == state_digest(whole.mask)
        assert resumed.progress.history == whole.progress.history
        assert resumed.progress.snapshots == whole.progress.snapshots
        assert resumed.progress.masks == whole.progress.masks
        assert (resumed.end, resumed.early_stop) == (whole.end, whole.early_stop)


def state_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# ------------------------------------------------------------------------------------- gates


@pytest.mark.parametrize("ranking", ["layer", "global"])
@pytest.mark.parametrize("keep", [0.9, 0.5, 0.03])
@pytest.mark.parametrize("name", COUNTED)
def test_a_learned_mask_keeps_exactly_what_is_asked(name: str, keep: float, ranking: str) -> None:
    run = gated(name, keep=keep, ranking=ranking)
    trained = fit(run, TicketTensors(weights(), masks.dense(build(run.ticket.network))[0]), DIGITS, CPU)
    if ranking == "global":
        assert masks.kept(trained.mask) == round(keep * masks.total(trained.mask))
    else:
        for ones in trained.mask.values():
            assert int(ones.sum()) == round(keep * ones.numel())


# STR trains and shrinks what it keeps.
SEARCHES = [name for name in GATES if "search" in catalogue("gate")[name].needs]


@pytest.mark.parametrize("name", [name for name in SEARCHES if name != "soft_threshold"])
def test_weights_behind_a_search_are_the_drawn_ones_to_the_bit(name: str) -> None:
    """Where the gate leaves their values as they are, the end weights are those of the seed on every kept place."""
    whole = masks.dense(build(run_of().ticket.network))[0]
    args = {"edge_popup": {"scale": False}}.get(name, {})
    trained = fit(gated(name, **args), TicketTensors(weights(), whole), DIGITS, CPU)
    assert trained.state is not None
    drawn = weights()
    for parameter, value in trained.state.items():
        if parameter in whole:
            ones = trained.mask[parameter]
            assert bool((value[~ones] == 0).all())
            if name == "biprop":
                mean = drawn[parameter][ones].abs().sum() / ones.sum()
                assert torch.allclose(value[ones], mean * drawn[parameter][ones].sign())
            else:
                assert torch.equal(value[ones], drawn[parameter][ones])
        elif not parameter.startswith("bn.running") and not parameter.endswith("num_batches_tracked"):
            assert torch.equal(value, drawn[parameter]), parameter


def test_the_end_of_a_search_is_an_ordinary_ticket_that_evaluates_the_same() -> None:
    for name in GATES:
        run = gated(name)
        trained = train(run)
        assert trained.state is not None
        again = fit(
            replace(run_of(), recipe=replace(run_of().recipe, steps=0)),
            TicketTensors(trained.state, trained.mask),
            DIGITS,
            CPU,
        )
        assert again.end == trained.end


def test_scores_of_edge_popup_move_as_its_paper_says() -> None:
    """One step of SGD on a linear layer: s - lr * dL/dI * Z * w * sign(s), dead edges too."""
    gate: Gate = load("gate", "edge_popup")(0.5, scale=False)
    weight, score = torch.tensor([[1.0, -2.0, 0.5, 3.0]]), torch.tensor([[0.1, -0.8, 0.3, -0.2]], requires_grad=True)
    parent, x, slope = {"w": torch.ones(1, 4, dtype=torch.bool)}, torch.tensor([2.0, 1.0, -1.0, 4.0]), 0.7
    mask = gate.mask({"w": score}, parent, Now(torch.Generator(), 0.0))
    assert mask["w"].tolist() == [[0.0, 1.0, 1.0, 0.0]]
    out = (gate.effective({"w": score}, {"w": weight}, mask)["w"] * x).sum()
    (slope * out).backward()
    assert score.grad is not None
    assert torch.allclose(score.grad, slope * x * weight * score.detach().sign())


def test_sign_in_restores_its_balance_and_leaves_the_products_where_they_are() -> None:
    """m^2 - v^2 = balance after the steps that are due, whatever m and v have become; the product moves by rounding."""
    gate: Gate = load("gate", "sign_in")(0.5, restore_every=0.2, until=0.6)
    rng_ = torch.Generator().manual_seed(0)
    due = []
    for step in range(1, 21):
        sides = {name: torch.randn(1000, generator=rng_) * 3 for name in ("w|m", "w|v")}
        sides["w|v"][0] = 0.0
        before = {name: value.clone() for name, value in sides.items()}
        gate.after_step(sides, Now(None, step / 20, (step - 1) / 20))
        if all(torch.equal(value, before[name]) for name, value in sides.items()):
            continue
        due.append(step)
        product, m, v = before["w|m"].double() * before["w|v"], sides["w|m"].double(), sides["w|v"].double()
        assert torch.allclose(m * v, product, rtol=3e-7, atol=0)
        assert torch.allclose(m**2 - v**2, torch.full_like(m, 0.5), rtol=0, atol=1e-6 * float(m.square().max()))
        assert bool((m > 0).all())
    assert due == [4, 8, 12]
    assert train(EVERY["restored"]).progress.history != train(gated("sign_in")).progress.history
    assert train(gated("sign_in", restore_every=0.0)).progress.history == train(gated("sign_in")).progress.history


@pytest.mark.parametrize("args", [{"restore_every": 0.6}, {"restore_every": -0.1}, {"until": 0.9}, {"balance": 0.0}])
def test_sign_in_refuses_what_would_restore_nothing(args: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"never be restored|shares of the training|number above 0"):
        load("gate", "sign_in")(**args)


# ------------------------------------------------------------------------------------- hooks


class Plain(nn.Module):
    """One hidden layer, for a training that is done again by hand."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(64, 12), nn.Linear(12, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x.flatten(1)).relu())


PLAIN = Network(Part("test_dynamics.Plain"), (1, 8, 8), 10)


@pytest.mark.parametrize("name", ["rigl", "set"])
def test_a_training_with_a_hook_is_what_a_plain_loop_does(name: str) -> None:
    """Drop, grow and momentum step by step, in plain torch; draws come from the generators that the hook is given."""
    run = replace(hooked(name), ticket=replace(run_of().ticket, network=PLAIN))
    start, mask = initial(PLAIN, 0), half(masks.dense(build(PLAIN))[0], 1)
    ours = fit(run, TicketTensors(start, mask), DIGITS, CPU)
    theirs, ones = build(PLAIN), {name: value.clone() for name, value in sorted(mask.items())}
    theirs.load_state_dict(masks.effective(start, mask))
    weight, momentum = dict(theirs.named_parameters()), dict[str, Tensor]()
    batches = DIGITS.batches(0, run.batching)
    for step in range(run.recipe.steps):
        due = step in (10, 20, 30, 40)
        draws = rng(3, "hook", 0, 0, step)
        if due and name == "set":
            for tensor, kept in ones.items():
                drop_and_draw(weight[tensor].detach(), kept, momentum[tensor], draws)
        x, y = next(batches)
        slopes = dict(zip(weight, torch.autograd.grad(cross_entropy(theirs(x), y), list(weight.values())), strict=True))
        if due and name == "rigl":
            share = 0.15 * (1 + math.cos(math.pi * (step - 10) / 30))
            for tensor, kept in ones.items():
                drop_and_grow(
                    weight[tensor].detach(), kept, momentum[tensor], slopes[tensor], int(share * int(kept.sum())), draws
                )
            continue
        with torch.no_grad():
            for tensor, slope in slopes.items():
                slope = slope * ones[tensor] if tensor in ones else slope
                slope = slope + 5e-3 * weight[tensor]
                momentum[tensor] = 0.9 * momentum[tensor] + slope if tensor in momentum else slope.clone()
                weight[tensor] -= 0.05 * momentum[tensor]
    assert ours.state is not None
    for tensor, kept in ones.items():
        assert torch.equal(ours.mask[tensor], kept), tensor
        assert int(kept.sum()) == int(mask[tensor].sum())
    for tensor, value in weight.items():
        assert torch.allclose(ours.state[tensor], value, atol=1e-6), tensor


def drop_and_grow(w: Tensor, kept: Tensor, momentum: Tensor, slope: Tensor, count: int, draws: torch.Generator) -> None:
    """RigL on one tensor, one weight after another; changes all but the slope in place."""
    noise = 1e-5 * torch.randn(w.numel(), generator=draws)
    places = sorted(
        (n for n in range(w.numel()) if kept.view(-1)[n]), key=lambda n: -float(w.abs().view(-1)[n] + noise[n])
    )
    retained = set(places[: len(places) - count])
    others = sorted((n for n in range(w.numel()) if n not in retained), key=lambda n: -float(slope.abs().view(-1)[n]))
    now = retained | set(others[:count])
    change(w, kept, momentum, now)


def drop_and_draw(w: Tensor, kept: Tensor, momentum: Tensor, draws: torch.Generator) -> None:
    """SET on one tensor."""
    alive = [n for n in range(w.numel()) if kept.view(-1)[n]]
    dropped: set[int] = set()
    for side in ([n for n in alive if w.view(-1)[n] >= 0], [n for n in alive if w.view(-1)[n] < 0]):
        dropped |= set(sorted(side, key=lambda n: float(w.view(-1)[n].abs()))[: int(0.3 * len(side))])
    retained = set(alive) - dropped
    free = [n for n in range(w.numel()) if n not in retained]
    grown = [free[i] for i in torch.randperm(len(free), generator=draws)[: len(dropped)].tolist()]
    change(w, kept, momentum, retained | set(grown))


@torch.no_grad()
def change(w: Tensor, kept: Tensor, momentum: Tensor, now: set[int]) -> None:
    """Weights that go become zero; those that come begin at zero; momentum of both is zero."""
    for n in range(w.numel()):
        if n not in now or not kept.view(-1)[n]:
            w.view(-1)[n] = 0
            momentum.view(-1)[n] = 0
        kept.view(-1)[n] = n in now


def test_hooks_say_how_much_they_have_explored() -> None:
    still, moved = train(run_of()), train(hooked("set"))
    assert "explored" not in still.progress.history[-1]
    shares = [row["explored"] for row in moved.progress.history]
    begun = 100 * masks.kept(half_mask()) / masks.total(half_mask())
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx(begun, abs=1e-3)
    assert shares[-1] > begun + 5


def test_a_hook_that_ends_a_training_keeps_the_mask_that_has_settled() -> None:
    run = replace(run_of(), hooks=(part("hook", "early_bird", {**CLOCK, "every": 2, "keep": 0.25, "window": 3}),))
    ended = train(run)
    assert ended.progress.ended_by == "early_bird"
    assert ended.progress.step < run.recipe.steps
    assert ended.progress.history[-1]["step"] == ended.progress.step
    assert masks.kept(ended.mask) == round(0.25 * masks.total(ended.mask))


def test_what_cannot_move_is_refused() -> None:
    filled = replace(hooked("rigl"), ticket=replace(run_of().ticket, fill=run_of().ticket.weights))
    with pytest.raises(ValueError, match="pruned weights must be zero"):
        fit(filled, TicketTensors(weights(), half_mask(), weights(7)), DIGITS, CPU)
    asks_often = replace(hooked("rigl"), recipe=replace(run_of().recipe, optimizer=Part("torch.optim.LBFGS")))
    with pytest.raises(ValueError, match="asks for the loss several times a step"):
        train(asks_often)


# -------------------------------------------------------------------------------- end to end


SWEEP = ("prune.levels=1", "prune.rate=0.5", "budget=smoke", "recipe.steps=40it", "recipe.eval_every=10it")
HOOKED = ("prune=at_init", "criterion=random", "hook=set", "hook.every=4it", "hook.begin=4it")


def test_a_notebook_and_a_folder_have_the_mask_of_their_step(tmp_path: Path) -> None:
    """A training that changes its mask: what it began with, what it had half way, and what it ended with."""
    words = [*SWEEP, *HOOKED, "budget=paper", "logger=none", "trainer.processes=0", "sweep=s"]
    assert main(["-m", *words, f"paths.output_dir={tmp_path}"]) == 0
    run = lt.open(tmp_path / "s").ticket(level=1)
    began, end = {name: value != 0 for name, value in run.state(0).items()}, run.mask
    assert all(int(began[name].sum()) == int(ones.sum()) for name, ones in end.items())
    assert not all(torch.equal(began[name], ones) for name, ones in end.items())
    half_way, ended = run.state(10), run.state()
    assert any(bool((half_way[name][~ones] != 0).any()) for name, ones in end.items()), "it was kept then"
    assert not any(bool((ended[name][~ones] != 0).any()) for name, ones in end.items())
    assert run.evaluate().accuracy == run.row["test_accuracy"]
    for trained, mask in ((False, began), (True, end)):
        exported = ticket_mask(read(run.export(tmp_path / f"ticket{trained}", trained=trained)))
        assert all(torch.equal(ones, mask[name]) for name, ones in exported.items())
    with pytest.raises(BadTicket, match="set changed its training"):
        train_ticket(tmp_path / "ticketFalse", Path(), tmp_path, "cpu", trust=False)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("prune=learned",), "learns masks through a gate"),
        (("gate=edge_popup",), "for prune=learned"),
        (("gate=sign_in", "hook=set"), "hook=set: gate=sign_in has no weights"),
        (("prune=learned", "gate=edge_popup", "hook=rigl"), "hook=rigl: gate=edge_popup has no weights"),
        (("hook=set", "hook.begin=1000it"), "hook.begin=1000it: is after"),
        (("hook=set", "hook.every=0it"), "at least one iteration"),
        (("hook=set", "hook.until=200%"), "write a share of the training"),
        (("hook=rigl", "pruned=freeze"), "pruned weights are zero"),
        (("prune=learned", "gate=bernoulli", "prune.levels=2"), "finds its own density"),
        (("prune=learned", "gate=edge_popup", "gate.args.keep=0.1", "prune.levels=2"), "args.keep is given"),
        (("prune=learned", "gate=edge_popup", "gate.args.keep=0"), "give a share above 0"),
        (("prune=learned", "gate=edge_popup", "gate.args.keep=a"), "gate edge_popup fails"),
        (("hook=rigl", "hook.args.fraction=1.5"), "give a share of the kept weights"),
        (("hook=early_bird", "hook.args.window=0"), "give 1 or more masks"),
        (("hook.name=test_dynamics.writes", "hook.every=1it"), "moment.weights"),
    ],
)
def test_what_cannot_be_is_answered_before_anything_trains(
    words: tuple[str, ...], answer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-m", *SWEEP, *words, "sweep=s", f"paths.output_dir={tmp_path}", "trainer.processes=0"]) == 2
    assert answer in capsys.readouterr().err
    assert not (tmp_path / "store").exists() or not list((tmp_path / "store").rglob("*.json"))


def writes(moment: Moment) -> Change:
    """Changes weights under the training's feet."""
    for weight in moment.weights.values():
        weight.mul_(0.5)
    return Change()


def test_a_loss_that_is_not_finite_is_no_mask_that_has_settled() -> None:
    """Without steps the weights stay, and with them the mask; the training has diverged all the same."""
    bird = part("hook", "early_bird", {"every": 1, "begin": 0, "until": 50, "window": 4, "tolerance": 1.0})
    run = replace(run_of(), hooks=(bird,))
    run = replace(run, recipe=replace(run.recipe, optimizer=Part("torch.optim.SGD", args={"lr": 1e30})))
    assert train(run).diverged_at == 1


def test_what_a_hook_remembers_is_what_was() -> None:
    seen: list[tuple[float, float]] = []

    def remembering(moment: Moment) -> Change:
        now, before = moment.weights["fc.weight"], moment.memory.get("fc.weight")
        seen.append((float(now.norm()), float("nan") if before is None else float(before.norm())))
        return Change(None, dict(moment.weights))

    globals()["remembering"] = remembering
    train(replace(run_of(), hooks=(Part("test_dynamics.remembering", args={"every": 10, "begin": 0, "until": 50}),)))
    assert [before for _, before in seen[1:]] == [now for now, _ in seen[:-1]]
    assert len({now for now, _ in seen}) == 5


def test_powerpropagation_trains_beside_weights_of_exactly_zero() -> None:
    for alpha in (1.0, 1.5, 2.0, 4.0):
        assert train(gated("powerpropagation", alpha=alpha)).diverged_at is None


def freezing() -> Gate:
    return Gate(
        lambda weights, mask, generator: {n: torch.ones_like(w) for n, w in weights.items()}, kept_where_positive
    )


def kept_where_positive(parameters: Any, parent: Any, now: Now) -> Any:
    return {name: straight_through((parameters[name] > 0).float(), parameters[name]) for name in parent}


def test_a_gate_of_ones_own_that_freezes_weights_is_for_a_search(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = (
        *SWEEP,
        "gate.name=test_dynamics.freezing",
        f"paths.output_dir={tmp_path}",
        "trainer.processes=0",
        "sweep=s",
    )
    assert main(["-m", *here]) == 2
    assert "freezes the weights that are to be trained" in capsys.readouterr().err
    assert main(["-m", *here, "prune=learned"]) == 0


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("broken.remembers_outside", "it keeps state outside of parameters and memory"),
        ("broken.no_gradient", "no gradient reaches its parameters"),
        ("broken.gate_in_place", "weights['0.weight']"),
    ],
)
def test_a_gate_of_ones_own_is_held_to_all_laws_before_anything_trains(
    name: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = (*SWEEP, "prune=learned", f"gate.name={name}", f"paths.output_dir={tmp_path}", "trainer.processes=0")
    assert main([*here]) == 2
    (answer,) = capsys.readouterr().err.splitlines()
    assert answer.startswith(f"lt_sweeps: gate={name}: ")
    assert line in answer
    assert not list(tmp_path.rglob("*.json"))


def test_a_gate_that_draws_is_evaluated_under_ten_masks_drawn_at_its_end() -> None:
    """Without a step the probabilities are those that it begins with: the masks are drawn here once more, by hand."""
    run = gated("bernoulli", bias=0.3)
    run = replace(run, recipe=replace(run.recipe, steps=0))
    network = build(run.ticket.network)
    mask, start = masks.dense(network)[0], {name: w * (not name.endswith("bias")) for name, w in weights().items()}
    trained = fit(run, TicketTensors(start, mask), DIGITS, CPU)
    expected = []
    for number in range(10):
        generator = rng(run.draw, "gate", run.level, "evaluate", number)
        drawn = {
            name: torch.rand(mask[name].shape, generator=generator) < torch.tensor(0.3).sigmoid()
            for name in sorted(mask)
        }
        network.load_state_dict(start | {name: start[name] * ones for name, ones in drawn.items()})
        expected.append(evaluate(network, DIGITS.chunks("test"), 10).accuracy)
    assert list(trained.sampled) == expected
    assert len({*expected}) > 1
    assert fit(gated("edge_popup"), TicketTensors(start, mask), DIGITS, CPU).sampled == ()
