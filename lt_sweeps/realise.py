"""Realises nodes as tensors: computed by the project's pure functions, or read from the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from fnmatch import fnmatch
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import torch

from lt_sweeps import allocation, masks
from lt_sweeps.criteria.probe import Probe, Scores, Source, require_scores
from lt_sweeps.datasets.loader import LoadedData, loader
from lt_sweeps.errors import Mistake
from lt_sweeps.graph import (
    END,
    At,
    Carried,
    Dense,
    Fill,
    Fit,
    Given,
    Init,
    Mask,
    MaskAt,
    Measure,
    Planted,
    Pretrained,
    Prune,
    Score,
    Shuffle,
    Ticket,
    Train,
    Treat,
    Weights,
    class_counts,
    end,
    full,
    network_of,
    seen,
    sources,
    whole,
)
from lt_sweeps.keys import Node
from lt_sweeps.masks import State
from lt_sweeps.measures.ends import Ends, Table, require
from lt_sweeps.networks.build import build, holding, initial
from lt_sweeps.networks.planted import support
from lt_sweeps.provenance.made_from import files
from lt_sweeps.provenance.ownership import require_current
from lt_sweeps.randomness import derive, rng, seeded
from lt_sweeps.registry import load
from lt_sweeps.specs import Data, Network
from lt_sweeps.store.store import Missing, Record, Store
from lt_sweeps.store.tensors import decode_mask, decode_masked, encode_mask
from lt_sweeps.transfers import carry
from lt_sweeps.units.beside import outputs
from lt_sweeps.units.unit import Units


class Values:
    """Realises nodes with a given store, device and data folder."""

    def __init__(
        self, store: Store, data_dir: Path, device: torch.device, fingerprint: dict[str, Any], workers: int = 0
    ) -> None:
        self.store, self.data_dir, self.device, self.fingerprint = store, data_dir, device, fingerprint
        self._workers = workers
        self.examples = lru_cache(maxsize=2)(self._examples)
        self.dense = lru_cache(maxsize=8)(self._dense)
        self.shapes = lru_cache(maxsize=8)(self._shapes)
        self._also = lru_cache(maxsize=8)(self._aliases)

    def _examples(self, data: Data) -> LoadedData:
        return loader(data, self.data_dir, self.device, self._workers)

    def require(self, data: Data, published: tuple[int, int] | None) -> None:
        """Loads a data set. Raises Mistake if it does not match its configuration, or its sizes are not `published`.

        None: nothing declares its sizes here, as of a stored training's.
        """
        try:
            sizes = self.examples(data).published
        except (Exception, SystemExit) as error:  # file readers and users' code may raise anything
            raise Mistake(f"dataset={data.source.name}: {str(error) or type(error).__name__}".splitlines()[0]) from None
        for name, declared, count in zip(("train", "test"), published or sizes, sizes, strict=True):
            if declared != count:
                raise Mistake(f"dataset.{name}={declared}: {data.source.name} has {count} such examples")

    def _dense(self, node: Dense) -> tuple[masks.Mask, int]:
        require_current([node.network.build])
        network = build(node.network)
        mask, excluded = masks.dense(network, node.exclude, node.include)
        if not node.outputs:
            return mask, excluded
        last = [*masks.prunable(network)][-1]  # its units are the network's outputs
        mask = {name: ones for name, ones in mask.items() if name != last}
        named = dict(network.named_parameters())
        beside = outputs(network, mask, node.network.shape, node.exclude)
        excluded = masks.total(masks.dense(network)[0]) - masks.total(mask)
        return {**mask, **{name: torch.ones(named[name].shape, dtype=torch.bool) for name in beside}}, excluded

    def _units(self, node: Prune, parent: masks.Mask) -> Units | None:
        """What a pruning keeps or prunes as a whole; None: each weight."""
        if node.unit is None:
            return None
        dense = full(node.parent)
        network = build(dense.network)
        weights = {name: ones for name, ones in parent.items() if name in masks.prunable(network, dense.include)}
        beside = outputs(network, weights, dense.network.shape, dense.exclude) if dense.outputs else {}
        return Units(node.unit, parent, beside)

    def _shapes(self, node: Dense) -> dict[str, tuple[int, ...]]:
        require_current([node.network.build])
        network = build(node.network)
        weights = masks.prunable(network, node.include)
        if node.outputs:
            weights |= {name: value for name, value in network.named_parameters() if name in self.dense(node)[0]}
        return {name: tuple(weight.shape) for name, weight in weights.items()}

    def _aliases(self, network: Network) -> dict[str, str]:
        require_current([network.build])
        return masks.aliases(build(network))

    def commit(
        self,
        node: Node,
        result: Mapping[str, Any],
        blobs: Mapping[str, bytes],
        ahead: Mapping[str, str] | None = None,
        made_by: Mapping[str, Any] | None = None,
    ) -> Record:
        """Stores a node's value, with its sources, the files it was made from and the fingerprint (`made_by`)."""
        description, made_from, read = node.describe(), sources(node), files(node, self.data_dir)
        made_by = self.fingerprint if made_by is None else made_by
        return self.store.commit(node.key, description, made_from, result, blobs, made_by, ahead, read)

    # ------------------------------------------------------------------------------- weights

    def weights(self, node: Weights) -> State:
        """Returns a state dict on the CPU. Raises Missing with the key of the record that must be computed again."""
        match node:
            case Init(network=network, seed=seed):
                require_current([network.build])
                return initial(network, seed)
            case At():
                return self._at(node)
            case Pretrained(content=content, mask=mask):
                return decode_masked(self.store.content(content), {} if mask is None else self.mask(mask), None)
            case Carried(weights=weights, own=own):
                values, owned = self.weights(weights), self.weights(own)
                return carry.carried(values, self._carry(node, carry.shapes(values), carry.shapes(owned)), owned)
            case Treat(treatment=treatment, mask=mask, ref=ref, end=end, seed=seed):
                require_current([treatment])
                treat = load("survivors", treatment.name)
                generator = rng(seed, "treat")
                treated: State = treat(
                    self.mask(mask), self.weights(ref), self.weights(end), generator, **treatment.args
                )
                return treated
            case Fill(fill=part, mask=mask, ref=ref, end=end, seed=seed):
                require_current([part])
                fill = load("pruned", part.name)
                filled: State = fill(
                    self.mask(mask), self.weights(ref), self.weights(end), rng(seed, "fill"), **part.args
                )
                return filled

    def _at(self, node: At) -> State:
        holder, name = (node.run, "end") if node.step == END else (node, "state")
        record = self.store.get(holder.key)
        if name not in record["blobs"]:  # the training diverged or collapsed
            raise Missing(holder.key)
        try:
            mask, fill = self._mask_beside(node), self.fill(node.run.ticket)
            return decode_masked(self.store.content(record["blobs"][name]), mask, fill)
        except Missing:
            self.store.discard(holder.key)
            raise Missing(holder.key) from None

    def effective(self, ticket: Ticket, mask: masks.Mask) -> State:
        """Returns a ticket's effective weights under `mask`, for every name of a shared weight."""
        return masks.effective(self.weights(ticket.weights), mask, self.fill(ticket), self.aliases(ticket))

    def aliases(self, ticket: Ticket) -> dict[str, str]:
        """Returns the further names of shared weights that need masking; {} without building the network if none do."""
        came_so = isinstance(ticket.weights, At) and end(ticket.weights.run).mask == ticket.mask
        return self._also(ticket.network) if full(ticket).include and not came_so else {}

    def fill(self, ticket: Ticket) -> State | None:
        """Returns the values of a ticket's pruned weights; None is zero."""
        return None if ticket.fill is None else self.weights(ticket.fill)

    # --------------------------------------------------------------------------------- masks

    def kept(self, run: Train) -> masks.Mask:
        """Returns the mask of a training's ticket: from the training's record if it is stored, else realised."""
        try:
            return decode_mask(self.store.content(self.store.get(run.key)["blobs"]["mask"]))
        except (Missing, KeyError):
            if not run.static:
                raise Missing(run.key) from None
            return self.begun(run.ticket)

    def mask_at(self, run: Train, step: int) -> masks.Mask:
        """The mask of a training at a step of its clock. Raises Missing, and ValueError as `at` does."""
        return self.kept(run) if run.static or step == END else self.mask(seen(run, step).mask)

    def _mask_beside(self, node: At) -> masks.Mask:
        """The mask of a training at the step of these weights. Raises Missing."""
        if node.run.static or node.step == END:
            return self.kept(node.run)
        return decode_mask(self.store.content(self.store.get(node.key)["blobs"]["mask"]))

    def begun(self, ticket: Ticket) -> masks.Mask:
        """Returns the mask with which a training of a ticket starts."""
        return self.mask(ticket.mask)

    def mask(self, node: Mask) -> masks.Mask:
        """Returns a mask on the CPU; that of a `Prune` node is read from the store, or computed and stored."""
        match node:
            case Dense():
                return dict(self.dense(node)[0])
            case Shuffle(mask=mask, seed=seed, scope=scope):
                return masks.shuffled(self.mask(mask), scope, rng(seed, "shuffle"))
            case Given(content=content):
                return decode_mask(self.store.content(content))
            case MaskAt(weights=weights):
                return self._mask_beside(weights)
            case Planted(draw=draw, whole=dense):
                planted = support(draw.network, draw.seed)
                return {name: planted[name] for name in self.dense(dense)[0]}
            case Fit():
                return self._fitted(node, self.mask(node.mask))
            case Prune():
                try:
                    return decode_mask(self.store.content(self.store.get(node.key)["blobs"]["mask"]))
                except Missing:
                    return self._prune(node)

    def _fitted(self, node: Fit, mask: masks.Mask, *, ahead: bool = False) -> masks.Mask:
        """Returns a mask found elsewhere on this network. Raises ValueError, naming the layer, if it does not fit."""
        full, before = self.mask(node.to), carry.shapes(mask)
        if node.by is None:
            left = carry.redrawn(before, self.shapes(node.to), class_counts(node))
            return masks.fitted({n: ones for n, ones in mask.items() if n not in left}, full, self.shapes(node.to))
        return carry.carried(mask, self._carry(node, before, carry.shapes(full), ahead=ahead), full)

    def _carry(
        self, node: Fit | Carried, before: carry.Shapes, now: carry.Shapes, *, ahead: bool = False
    ) -> carry.Carry:
        """Returns where each tensor of `now` comes from among those of `before`. Raises ValueError, naming a layer, and
        with `ahead`, when nothing is trained yet, Later where trained weights are asked for."""

        def ends() -> tuple[State, State]:
            if ahead:
                raise carry.Later
            source, target = map(self.weights, node.between)
            return source, target

        def examples(count: int) -> torch.Tensor:
            source = _source(self, node.data)
            return source.picked(torch.arange(min(count, len(source.classes)), device=source.classes.device))[0].cpu()

        sides = carry.Sides(
            before,
            now,
            carry.redrawn(before, now, class_counts(node)),
            make_network=lambda: build(node.to.network),
            read_ends=ends if node.between else None,
            read_examples=examples if node.data else None,
            generator=rng(node.seed, "transfer"),
        )
        if node.by is None:
            places = carry.by_name(sides)
        else:
            require_current([node.by, node.to.network.build])
            with seeded(0):
                places = load("transfer", node.by.name)(sides, **node.by.args)
        carry.require_covered(places, sides)
        return places

    def _prune(self, node: Prune) -> masks.Mask:
        parent, generator = self.mask(node.parent), rng(node.ties, "ties")
        units = self._units(node, parent)
        whole = parent if units is None else units.alive(parent)
        target, mask, score = self._target_counts(node, whole), parent, scorer(self, node.scores)
        for done in range(node.rounds):
            scores = score(mask, done)
            if node.invert:
                scores = allocation.inverted(scores)
            before = parent if node.revive else mask
            left = allocation.decayed_counts(target, whole, done + 1, node.rounds)
            if units is None:
                mask = allocation.allocate(scores, before, left, generator)
            else:
                scores, alive = units.scores(scores, before), units.alive(before)
                units.require(scores, alive, left)
                mask, before = units.mask(allocation.allocate(scores, alive, left, generator), before), alive
        result = {
            "kept": masks.kept(mask),
            "total": masks.total(mask),
            "eligible": allocation.eligible(scores, before),
            "emptied": masks.emptied(mask),
        }
        self.commit(node, result, {"mask": encode_mask(mask)})
        return mask

    def _target_counts(self, node: Prune, parent: masks.Mask) -> allocation.Counts:
        """Returns how many weights each group keeps; with an allocation, each layer is a group."""
        if node.allocation is None:
            factors = node.factors
            if node.unit is not None:  # a pattern may be of the last layer alone, whose units are not pruned
                factors = {pattern: f for pattern, f in factors.items() if any(fnmatch(n, pattern) for n in parent)}
            return allocation.counts(parent, node.fraction, node.groups, factors, node.times)
        ((_, keep),) = allocation.counts(parent, node.fraction, "global", {}, node.times)
        remaining = {name: int(ones.sum()) for name, ones in parent.items()}
        return allocation.allotted(self.shapes(full(node.parent)), remaining, keep, node.allocation)

    def excluded(self, node: Mask) -> int:
        """Returns the number of weights that `prune.exclude` protects from pruning."""
        return int(self.dense(full(node))[1])

    def check(self, node: Node) -> None:
        """Raises Mistake if content of `ticket=` or `mask_from=` is not in the store, or does not fit the network."""
        try:
            if isinstance(node, Given | Pretrained):
                self.store.content(node.content)
            if isinstance(node, Fit):
                self._fitted(node, self.mask(whole(node.mask) or node.mask), ahead=True)
            if isinstance(node, Carried) and (source := network_of(node.weights)) is not None:
                before, now = (carry.shapes(initial(network, 0)) for network in (source, node.to.network))
                self._carry(node, before, now, ahead=True)
        except carry.Later:
            pass
        except Missing:
            what = "the files of ticket= or mask_from= have changed since: the same command reads them again"
            raise Mistake(what) from None
        except ValueError as error:
            raise Mistake(str(error)) from None

    # ------------------------------------------------------------------------------ measures

    def table(self, node: Measure, tell: Callable[[int], None] = lambda point: None) -> Table:
        """Computes the table of a measure; calls `tell(n)` after n points."""
        require_current([node.what, node.of[0].network.build])
        module, pairs = build(node.of[0].network).to(self.device), [(t, self.mask(t.mask)) for t in node.of]
        ends = Ends(
            weights=tuple(self.effective(ticket, mask) for ticket, mask in pairs),
            masks=tuple({n: mask[n] for n in self.shapes(full(ticket)) if n in mask} for ticket, mask in pairs),
            classes=node.data.classes,
            network=lambda state: holding(module, state),
            examples=lambda part: self.examples(node.data).chunks(part),
            tell=tell,
            task=node.data.task,
        )
        with seeded(0):
            table: Table = load("measure", node.what.name)(ends, **node.what.args)
        try:
            require(table, node.what.word)
        except ValueError as error:
            raise ValueError(f"measure {node.what.name}: {error}") from None
        return table


def scorer(values: Values, node: Score) -> Callable[[masks.Mask, int], Scores]:
    """Returns `score(mask, done)`: scores of the prunable weights (higher = kept) under `mask`, after `done` rounds."""
    require_current([node.criterion, node.at.network.build])
    ticket, criterion = node.at, load("criterion", node.criterion.name)
    weights, fill = values.weights(ticket.weights), values.fill(ticket)
    ref = None if node.ref is None else values.weights(node.ref)
    network, aliases = cache(lambda: build(ticket.network)), values.aliases(ticket)

    def score(mask: masks.Mask, done: int) -> Scores:
        probe = Probe(
            weights=masks.effective(weights, mask, fill, aliases),
            unmasked=weights,
            mask=mask,
            ref=ref,
            generator=rng(node.seed, "score", *[done][:done]),
            make_network=lambda: deepcopy(network()),
            make_source=lambda: _source(values, node.data),
            task=None if node.data is None else node.data.task,
            shape=ticket.network.shape,
        )
        with seeded(derive(node.seed, "criterion", done)):
            scores: Scores = criterion(probe, **node.criterion.args)
        require_scores(scores, mask, node.criterion.name)
        return scores

    return score


def _source(values: Values, data: Data | None) -> Source:
    if data is None:
        raise ValueError('the criterion looks at examples: register it with needs=("data",)')
    return values.examples(data)
