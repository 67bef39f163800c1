"""What can be proven without a GPU of training on one: nothing is read back, nothing lies on two devices, and a step
that is replayed as operations on fixed memory is the step."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest
import torch
from small import NETWORK, examples, half_mask, run_of, weights
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from lt_sweeps.datasets.examples import Batch, Examples
from lt_sweeps.masks import TicketTensors
from lt_sweeps.networks.build import build
from lt_sweeps.randomness import GENERATORS
from lt_sweeps.registry import part
from lt_sweeps.specs import Batching, Network, Part
from lt_sweeps.training import graph_steps, optim
from lt_sweeps.training.fit import Hardware, fit
from lt_sweeps.training.graph_steps import COMPARED, GraphSteps, Replay
from lt_sweeps.training.masking import MaskedOptimizer
from lt_sweeps.training.module import TicketModule
from lt_sweeps.training.recorder import state_digest
from lt_sweeps.training.step import EagerSteps, Step
from lt_sweeps.training.watch import DeviceWatch

READS = {"aten::_local_scalar_dense", "aten::item", "aten::equal", "aten::is_nonzero"}
OPTIMIZERS = {
    "sgd": Part("torch.optim.SGD", args={"lr": 0.05, "momentum": 0.9, "weight_decay": 5e-3}),
    "adam": Part("torch.optim.Adam", args={"lr": 5e-3, "weight_decay": 1e-2}),
    "adamw": Part("torch.optim.AdamW", args={"lr": 5e-3, "weight_decay": 0.1}),
}
STEP_LR = Part("torch.optim.lr_scheduler.StepLR", args={"step_size": 7, "gamma": 0.5})
NO_DROPOUT = replace(NETWORK, build=Part("small.Net", args={"dropout": 0.0}))


class Counted(TorchDispatchMode):
    """Counts the operations by which a host waits for a device."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.reads += func._schema.name in READS
        return func(*args, **(kwargs or {}))


class Recorded(TorchDispatchMode):
    """Records operations as a CUDA graph does: what is done to which memory, without any of Python's part in it."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.name in READS:
            raise RuntimeError("operation not permitted when stream is capturing")
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, out))
        return out

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, out in self.calls:
            again = func(*args, **kwargs)
            for there, value in zip(tree_flatten(out)[0], tree_flatten(again)[0], strict=True):
                if isinstance(there, Tensor) and there.data_ptr() != value.data_ptr():
                    there.copy_(value)


def stepping(
    optimizer: Part = OPTIMIZERS["sgd"], network: Any = NO_DROPOUT, clip: float | None = 0.5
) -> tuple[Step, Any, Examples]:
    """A step of the small network on the digits; its learning rate a tensor, as on a GPU."""
    module = build(network)
    module.load_state_dict(weights())
    args = {**optimizer.args, "lr": torch.tensor(optimizer.args["lr"]), "fused": True}
    made = getattr(torch.optim, optimizer.name.rsplit(".", 1)[1])(module.parameters(), **args)
    masked = MaskedOptimizer(half_mask(), None)
    masked.attach(module, made)

    def loss_of(batch: Batch) -> tuple[Tensor, Tensor]:
        loss = torch.nn.functional.cross_entropy(module(batch[0]), batch[1])
        return loss, loss.detach()

    watch = DeviceWatch(0, torch.device("cpu"))
    return Step(module, made, masked, clip, loss_of, watch), module, examples()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_host_reads_nothing_in_a_stretch_of_steps(optimizer: str) -> None:
    step, _, digits = stepping(OPTIMIZERS[optimizer])
    steps = EagerSteps(step, optim.Rates(OPTIMIZERS[optimizer], STEP_LR, 0))
    batches = digits.batches(0, Batching(60))
    steps.take([next(batches)], lambda: None)
    stretch = [next(batches) for _ in range(16)]
    with Counted() as counted:
        steps.take(stretch, lambda: None)
    assert counted.reads == 0


def captured(work: Callable[[], None]) -> Callable[[], None]:
    """As CUDA would, but that the recorded step is also done, which what comes after undoes."""
    recorded = Recorded()
    with recorded:
        work()
    return recorded.replay


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", [None, STEP_LR])
def test_replayed_steps_are_the_eager_ones(
    optimizer: str, schedule: Part | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_steps, "captured", captured)
    ends, said = [], list[str]()
    for replayed in (False, True):
        step, module, digits = stepping(OPTIMIZERS[optimizer])
        rates = optim.Rates(OPTIMIZERS[optimizer], schedule, 0)
        done: list[str] = []

        def after(module: Any = module, done: list[str] = done) -> None:
            done.append(state_digest(module.state_dict()))

        batching = Batching(60)
        if replayed:
            steps = GraphSteps(step, rates, module, Replay(digits, said.append), 60, lambda: False)
            chosen: Iterator[Any] = digits.chosen(0, batching)
            for count in (40, 20):
                steps.take([next(chosen) for _ in range(count)], after)
            assert steps._graph is not None
        else:
            batches = digits.batches(0, batching)
            EagerSteps(step, rates).take([next(batches) for _ in range(60)], after)
        ends.append(done)
    assert said == []
    assert len(ends[0]) == 60
    assert ends[0] == ends[1]


def test_a_smaller_batch_is_taken_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_steps, "captured", captured)
    ends = []
    for replayed in (False, True):
        step, module, digits = stepping()
        rates = optim.Rates(OPTIMIZERS["sgd"], None, 0)
        batching = Batching(90, "keep")
        assert len(digits.train[0]) % 90
        if replayed:
            steps = GraphSteps(step, rates, module, Replay(digits, print), 90, lambda: False)
            chosen = digits.chosen(0, batching)
            steps.take([next(chosen) for _ in range(40)], lambda: None)
            assert steps._graph is not None
        else:
            batches = digits.batches(0, batching)
            EagerSteps(step, rates).take([next(batches) for _ in range(40)], lambda: None)
        ends.append(state_digest(module.state_dict()))
    assert ends[0] == ends[1]


def test_a_step_that_counts_in_python_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_steps, "captured", captured)
    step, module, digits = stepping()
    calls = iter(range(1000))
    module.register_forward_hook(lambda _, args, out: out * (1 + next(calls) / 100))
    said: list[str] = []
    rates = optim.Rates(OPTIMIZERS["sgd"], None, 0)
    steps = GraphSteps(step, rates, module, Replay(digits, said.append), 60, lambda: False)
    chosen = digits.chosen(0, Batching(60))
    steps.take([next(chosen) for _ in range(COMPARED + 1)], lambda: None)
    assert steps._graph is None
    assert said == ["Net: no CUDA graph, steps are slower: replayed steps differ from eager ones"]
    before = state_digest(module.state_dict())
    steps.take([next(chosen)], lambda: None)  # it goes on from where the eager steps left it
    assert state_digest(module.state_dict()) != before


@pytest.mark.parametrize(
    ("break_it", "why"),
    [
        (lambda module: module.register_forward_hook(lambda _, args, out: out * out.sum().item() ** 0), "captured"),
        (lambda module: module, "draws random numbers"),
    ],
)
def test_what_a_graph_cannot_hold_is_said_and_trained_without_one(
    break_it: Callable[[Any], Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_steps, "captured", captured)
    step, module, digits = stepping()
    break_it(module)
    said: list[str] = []
    rates = optim.Rates(OPTIMIZERS["sgd"], None, 0)
    steps = GraphSteps(step, rates, module, Replay(digits, said.append), 60, lambda: why.startswith("draws"))
    chosen = digits.chosen(0, Batching(60))
    done: list[None] = []
    steps.take([next(chosen) for _ in range(20)], lambda: done.append(None))
    assert len(said) == 1
    assert why in said[0]
    assert len(done) == 20


def test_a_schedule_that_changes_momentum_too_is_followed_eagerly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_steps, "captured", captured)
    cycle = Part("torch.optim.lr_scheduler.OneCycleLR", args={"max_lr": 0.1, "total_steps": 200})
    ends = []
    for replayed in (False, True):
        step, module, digits = stepping()
        rates = optim.Rates(OPTIMIZERS["sgd"], cycle, 0)
        if replayed:
            chosen = digits.chosen(0, Batching(60))
            steps = GraphSteps(step, rates, module, Replay(digits, print), 60, lambda: False)
            steps.take([next(chosen) for _ in range(30)], lambda: None)
        else:
            batches = digits.batches(0, Batching(60))
            EagerSteps(step, rates).take([next(batches) for _ in range(30)], lambda: None)
        ends.append(state_digest(module.state_dict()))
    assert ends[0] == ends[1]


MODELS = {
    "lenet": Network(part("network", "lenet_300_100"), (1, 28, 28), 10),
    "resnet20": Network(part("network", "resnet20"), (3, 32, 32), 10),
    "vgg16": Network(part("network", "vgg16"), (3, 32, 32), 10),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_a_step_on_a_gpu_stays_there(model: str, optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With tensors that have a device and no values: an operation on two devices, or one that reads a value, raises.

    torch's autograd and its fused kernels want a driver all the same: gradients are given, kernels look at devices.
    """
    updates: list[set[str]] = []

    def kernel(*args: Any, **kwargs: Any) -> None:
        updates.append({v.device.type for v in tree_flatten((args, kwargs))[0] if isinstance(v, Tensor)})

    for name in ("_fused_sgd_", "_fused_adam_", "_fused_adamw_"):
        monkeypatch.setattr(torch, name, kernel)
    with FakeTensorMode():
        with torch.device("cuda"):
            network = build(MODELS[model])
        described = OPTIMIZERS[optimizer]
        made = optim.optimizer(described, network)
        assert isinstance(made.param_groups[0]["lr"], Tensor)
        masked = MaskedOptimizer({}, None)
        masked._mask = {name: torch.ones(p.shape) for name, p in network.named_parameters() if p.dim() > 1}
        masked.attach(network, made)

        class Backward:
            @staticmethod
            def backward() -> None:
                for p in network.parameters():
                    p.grad = torch.ones_like(p)

        def loss_of(batch: Batch) -> Any:
            return Backward, torch.nn.functional.cross_entropy(network(batch[0]), batch[1]).detach()

        watch = DeviceWatch(0, torch.device("cuda"))
        step = Step(network, made, masked, 1.0, loss_of, watch)
        batch = torch.randn(8, *MODELS[model].shape, device="cuda"), torch.zeros(8, dtype=torch.int64, device="cuda")
        for _ in range(2):
            step(batch)
        held = [watch.loss, watch.halt, watch.taken, *(p.grad for p in network.parameters() if p.grad is not None)]
        held += [v for state in made.state.values() for v in state.values() if isinstance(v, Tensor)]
        assert {value.device.type for value in held} == {"cuda"}
        assert updates == [{"cuda"}, {"cuda"}]


def test_no_thread_draws_while_another_captures(monkeypatch: pytest.MonkeyPatch) -> None:
    """As each capture has the GPU's generator registered, which torch 2.11 then refuses to draw from elsewhere."""
    free: list[bool] = []

    def draw() -> None:
        free.append(taken := GENERATORS.acquire(blocking=False))
        if taken:
            GENERATORS.release()

    @contextmanager
    def graph(*_: Any, **__: Any) -> Iterator[None]:
        yield

    def work() -> None:
        other = Thread(target=draw)
        other.start()
        other.join()

    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: type("Graph", (), {"replay": draw}))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: None)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    graph_steps.captured(work)()
    assert free == [False, True]


def test_an_optimizer_without_a_fused_kernel_for_gpus_takes_its_steps_there() -> None:
    described = Part("torch.optim.Adagrad", args={"lr": 0.1})
    with FakeTensorMode():
        with torch.device("cuda"):
            network = build(MODELS["lenet"])
        (group,) = optim.optimizer(described, network).param_groups
        assert not group["fused"]
        assert group["lr"] == 0.1
    (group,) = optim.optimizer(described, build(MODELS["lenet"])).param_groups
    assert group["fused"]


def test_a_training_gives_back_its_graph_without_the_garbage_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its gradients, which lie in the graph's memory. Lightning's trainer and module hold one another."""
    begin, begun = TicketModule._begin, list[Any]()

    def watched(module: TicketModule, optimizer: Any) -> Any:
        steps = begin(module, optimizer)
        begun.append((weakref.ref(steps), weakref.ref(module)))
        return steps

    monkeypatch.setattr(TicketModule, "_begin", watched)
    gc.collect()
    gc.disable()
    try:
        fit(run_of(steps=12), TicketTensors(weights(), half_mask()), examples(), Hardware())
        ((steps, module),) = begun
        assert steps() is None
        assert module() is None or all(parameter.grad is None for parameter in module().parameters())
    finally:
        gc.enable()
