"""What a training may change beside its weights: the gate that they are seen through, and hooks that move the mask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lt_sweeps.gates.gate import Gate, Now, gate_of
from lt_sweeps.gates.linearised import first_order
from lt_sweeps.graph import Train
from lt_sweeps.hooks.moment import Change, Moment
from lt_sweeps.masks import Mask, State, aliases, kept, total
from lt_sweeps.randomness import rng
from lt_sweeps.registry import CLOCK, load, needs
from lt_sweeps.specs import Part
from lt_sweeps.training import optim
from lt_sweeps.training.masking import MaskedOptimizer
from lt_sweeps.training.progress import Progress
from lt_sweeps.units.beside import scales


class Ended(Exception):
    """A hook ends the training; the step was not taken."""

    def __init__(self, step: int, hook: str) -> None:
        super().__init__(f"{hook} ends the training at step {step}")
        self.step, self.hook = step, hook


class Gated(nn.Module):
    """A frozen network computed with through a gate. Its trainable parameters are the gate's.

    In training mode the mask is drawn as of `now`; in evaluation mode it is the one that is kept then.
    """

    def __init__(self, network: nn.Module, gate: Gate, parent: Mask, begun: State) -> None:
        super().__init__()
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(not gate.frozen and name not in parent)
        self.network = network
        self._gate = gate
        self.narrow(parent)
        self.gate = nn.Module()
        self._names = {name.replace(".", "/"): name for name in begun}  # torch allows no dot in a parameter's name
        if len(self._names) < len(begun) or not all(self._names):
            raise ValueError(f"the gate's parameters {', '.join(begun)} have no names of their own")
        for inside, name in self._names.items():
            self.gate.register_parameter(inside, nn.Parameter(begun[name].clone()))
        self.start = Start(network) if gate.linear else None
        self.now = Now(None, 0.0)

    @property
    def parameters_of_gate(self) -> dict[str, Tensor]:
        """The gate's parameters by the names that it gave them."""
        return {name: getattr(self.gate, inside) for inside, name in self._names.items()}

    def narrow(self, parent: Mask) -> None:
        """Sets another parent mask, which a hook requests."""
        self._parent, self._keep = dict(parent), dict[str, Tensor]()

    def forward(self, x: Tensor) -> Any:
        """The network's output through the gate; that of its expansion around the start if the gate is linear."""
        weights = self._effective(self.now if self.training else self.now._replace(generator=None))[0]
        if self.start is None:
            return functional_call(self.network, weights, (x,))
        return self.start.expanded(self.network, weights, x)

    def after_step(self) -> None:
        """What the gate does to its parameters after each step."""
        with torch.no_grad():
            self._gate.after_step(self.parameters_of_gate, self.now)

    @torch.no_grad()
    def kept(self) -> tuple[State, Mask]:
        """The network as it is evaluated, as an ordinary state dict, and its mask."""
        weights, mask = self._effective(self.now._replace(generator=None))
        if strange := [name for name, ones in mask.items() if not bool(((ones == 0) | (ones == 1)).all())]:
            raise ValueError(f"the gate's mask of {strange[0]} is not of zeros and ones where none is drawn")
        return self._state(weights), {name: ones.bool().cpu() for name, ones in mask.items()}

    @property
    def draws(self) -> bool:
        """Whether its masks are random ones."""
        return self._gate.draws

    @torch.no_grad()
    def draw_state(self, generator: torch.Generator) -> State:
        """Draws a mask; returns the network under it, as an ordinary state dict."""
        return self._state(self._effective(self.now._replace(generator=generator))[0])

    def _state(self, weights: State) -> State:
        tied = {other: weights[name] for other, name in aliases(self.network).items() if name in weights}
        return {**self.network.state_dict(), **weights, **tied}

    def _effective(self, now: Now) -> tuple[State, State]:
        parameters, held = self.parameters_of_gate, dict(self.network.named_parameters())
        own = {name: held[name].detach() for name in self._parent}
        if any(name not in self._keep or self._keep[name].device != weight.device for name, weight in own.items()):
            self._keep = {name: ones.to(own[name].device, own[name].dtype) for name, ones in self._parent.items()}
        soft = self._gate.mask(parameters, self._parent, now)
        mask = {name: soft[name].to(own[name].dtype) * ones for name, ones in self._keep.items()}
        return self._gate.effective(parameters, own, mask), mask


class Start(nn.Module):
    """A copy of a network's parameters, as buffers outside the state dict: the point of an expansion."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._names = [name for name, _ in network.named_parameters()]
        for number, parameter in enumerate(network.parameters()):
            self.register_buffer(f"{number}", parameter.detach().clone(), persistent=False)

    def expanded(self, network: nn.Module, weights: State, x: Tensor) -> Tensor:
        """The output of the network's expansion, at its own parameters but for `weights`.

        Batch normalisation is that of evaluation, so that its statistics stay as they are.
        """
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        start = dict(zip(self._names, self.buffers(), strict=True))
        return first_order(
            lambda at: functional_call(network, at, (x,)), start, {**dict(network.named_parameters()), **weights}
        )


class Expansion(nn.Module):
    """The first-order Taylor expansion of a network around the parameters of a start."""

    def __init__(self, network: nn.Module, start: Start) -> None:
        super().__init__()
        self.network, self.start = network, start

    def forward(self, x: Tensor) -> Tensor:
        """The output of the expansion."""
        return self.start.expanded(self.network, {}, x)


@dataclass(frozen=True)
class Hook:
    """A hook and its clock."""

    part: Part
    number: int

    @property
    def clock(self) -> dict[str, int]:
        """Its first step, its last one, and the steps between two moments."""
        return {name: int(self.part.args[name]) for name in CLOCK}

    def due(self, step: int) -> bool:
        """Whether it is asked before this step."""
        clock = self.clock
        return clock["begin"] <= step <= clock["until"] and (step - clock["begin"]) % clock["every"] == 0

    @property
    def needs_slopes(self) -> bool:
        """Whether it is asked after the gradients of a step, else before its forward pass."""
        return "slopes" in needs("hook", self.part.name)

    def __call__(self, moment: Moment) -> Change:
        """What it changes now. Raises ValueError where it returns anything else."""
        args = {name: value for name, value in self.part.args.items() if name not in CLOCK}
        change = load("hook", self.part.name)(moment, **args)
        if not isinstance(change, Change):
            raise ValueError(f"hook {self.part.name} returned a {type(change).__name__}, not a Change")
        return change


class Dynamics:
    """The gate and the hooks of one training under way. It is asked before a step, after its gradients, and after it.

    `network` holds the weights that the training begins with.
    """

    def __init__(self, run: Train, network: nn.Module, mask: Mask) -> None:
        if run.ticket.fill is not None:
            raise ValueError("a gate or a hook changes the mask: pruned weights must be zero (pruned=zero)")
        if run.recipe.optimizer.name.endswith("LBFGS"):
            raise ValueError(f"{run.recipe.optimizer.name} asks for the loss several times a step: no gate, no hook")
        if run.gate is not None and optim.groups_by_name(run.recipe.optimizer):
            raise ValueError(f"{run.recipe.optimizer.name} groups weights by name, and a gate trains others")
        self._run, self.mask, self._memories = run, _ordered(mask), [dict[str, Tensor]() for _ in run.hooks]
        self._hooks = [Hook(part, number) for number, part in enumerate(run.hooks)]
        self._explored = {name: ones.clone() for name, ones in self.mask.items()}
        self.noted: list[dict[str, Any]] = []  # by hooks
        self.network = network
        if run.gate is not None:
            gate = gate_of(run.gate)
            if self._hooks and (not gate.frozen or any(hook.needs_slopes for hook in self._hooks)):
                raise ValueError(
                    f"gate {run.gate.name}: only a gate that learns a mask takes a hook, and one of scores"
                )
            held = dict(network.named_parameters())
            weights = {name: held[name].detach().clone() for name in self.mask}
            generator = rng(run.draw, "gate", run.level, "begin")
            self.network = Gated(network, gate, self.mask, gate.begin(weights, self.mask, generator))

    def optimizer(self) -> MaskedOptimizer:
        """What masks weights and optimizer state; with a gate nothing, for no weight is trained."""
        return MaskedOptimizer({} if isinstance(self.network, Gated) else self.mask, None, moving=True)

    def resume(self, progress: Progress) -> None:
        """Go on where an earlier session left off."""
        self.mask, self._explored = _ordered(progress.mask), _ordered(progress.explored)
        self._memories = [dict(memory) for memory in progress.memories]
        self.noted = list(progress.noted)
        if isinstance(self.network, Gated):
            self.network.narrow(self.mask)
            self.network.now = Now(None, self._done(progress.step))

    def save(self, progress: Progress) -> None:
        """Write the mask and what the hooks remember into the progress of a checkpoint: copies."""
        progress.mask = {name: ones.clone() for name, ones in self.mask.items()}
        progress.explored = {name: ones.clone() for name, ones in self._explored.items()}
        progress.noted = list(self.noted)
        progress.memories = [{name: value.detach().cpu().clone() for name, value in m.items()} for m in self._memories]

    @property
    def explored(self) -> float | None:
        """Percent of the prunable weights that hooks have kept at some step (Liu et al. 2021); None with a gate."""
        if not self._hooks or isinstance(self.network, Gated):
            return None
        return round(100 * kept(self._explored) / total(self._explored), 4)

    def kept(self) -> tuple[State, Mask]:
        """The network as it is evaluated now, as an ordinary state dict on its device, and its mask."""
        if isinstance(self.network, Gated):
            return self.network.kept()
        return self.network.state_dict(), self.mask

    def as_trained(self, network: nn.Module) -> nn.Module:
        """The network as this training computes with it: itself, or with a linear gate its expansion."""
        start = self.network.start if isinstance(self.network, Gated) else None
        return network if start is None else Expansion(network, start)

    def sampled(self, count: int) -> Iterator[nn.Module]:
        """The network under each of `count` masks drawn at the end, one at a time; none if the gate does not draw."""
        if isinstance(self.network, Gated) and self.network.draws:
            network = deepcopy(self.network.network)
            for number in range(count):
                generator = rng(self._run.draw, "gate", self._run.level, "evaluate", number)
                network.load_state_dict(self.network.draw_state(generator))
                yield network

    def before(self, step: int, masked: MaskedOptimizer) -> None:
        """Draw anew for this step; ask the hooks that look at weights alone. Raises Ended."""
        if isinstance(self.network, Gated):
            self.network.now = Now(rng(self._run.draw, "gate", self._run.level, step), self._done(step))
        self._ask(step, masked, slopes=False)

    def on_gradients(self, step: int, masked: MaskedOptimizer) -> bool:
        """Ask the hooks that look at gradients; returns whether the optimizer takes its step. Raises Ended."""
        return self._ask(step, masked, slopes=True)

    def rehearse(self) -> None:
        """Ask each hook that looks at weights alone, as at its first moment, and change nothing. Raises ValueError."""
        for hook in self._hooks:
            if not hook.needs_slopes:
                hook(self._moment(hook, hook.clock["begin"]))

    def after(self, step: int) -> None:
        """The step is done."""
        if isinstance(self.network, Gated):
            self.network.now = Now(None, self._done(step + 1), self._done(step))
            self.network.after_step()

    def _done(self, step: int) -> float:
        start, steps = self._run.ticket.start, self._run.recipe.steps
        return (step - start) / max(1, steps - start)

    def _ask(self, step: int, masked: MaskedOptimizer, *, slopes: bool) -> bool:
        take = True
        for hook in self._hooks:
            if hook.needs_slopes is not slopes or not hook.due(step):
                continue
            change = hook(self._moment(hook, step))
            self._memories[hook.number] = {name: value.detach().clone() for name, value in change.memory.items()}
            if change.noted:
                values = {name: list(map(float, numbers)) for name, numbers in change.noted.items()}
                self.noted.append({"step": step, "hook": hook.part.name, **values})
            if change.mask is not None:
                self._set(change.mask, hook, masked)
            if change.end:
                raise Ended(step, hook.part.name)
            take = take and not change.skip
        return take

    def _scales(self) -> dict[str, Tensor]:
        return {name: scale.detach() for name, scale in scales(self.network).items()}

    def _set(self, mask: Mask, hook: Hook, masked: MaskedOptimizer) -> None:
        for name, ones in self.mask.items():
            new = mask.get(name)
            if new is None or new.shape != ones.shape or new.dtype != torch.bool:
                raise ValueError(f"hook {hook.part.name} gave no bool mask of the right shape for {name}")
        self.mask = {name: mask[name].detach().cpu().clone() for name in self.mask}
        self._explored = {name: ones | self.mask[name] for name, ones in self._explored.items()}
        if isinstance(self.network, Gated):
            self.network.narrow(self.mask)
        else:
            masked.change(self.mask)

    def _moment(self, hook: Hook, step: int) -> Moment:
        held: Mapping[str, Tensor] = dict(self.network.named_parameters())
        if isinstance(self.network, Gated):
            held = self.network.parameters_of_gate
        if missing := [name for name in self.mask if name not in held]:
            raise ValueError(f"the gate has no score named {missing[0]}: hook {hook.part.name} has nothing to look at")
        weights = {name: held[name] for name in self.mask}
        device = next(iter(weights.values())).device
        return Moment(
            step,
            weights={name: weight.detach() for name, weight in weights.items()},
            slopes={name: _slope(weight) for name, weight in weights.items()} if hook.needs_slopes else {},
            mask={name: ones.to(device) for name, ones in self.mask.items()},
            memory={name: value.to(device) for name, value in self._memories[hook.number].items()},
            scales={} if isinstance(self.network, Gated) else self._scales(),
            generator=rng(self._run.draw, "hook", hook.number, self._run.level, step),
            **hook.clock,
        )


def _ordered(mask: Mask) -> Mask:
    """The same mask in the order of names, so that what is drawn for it does not depend on where it came from."""
    return {name: mask[name] for name in sorted(mask)}


def _slope(weight: Tensor) -> Tensor:
    return torch.zeros_like(weight) if weight.grad is None else weight.grad.detach()
