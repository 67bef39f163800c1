"""The measures that a configuration asks for: several at once, each of what it compares a level with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lt_sweeps.columns import ALONE
from lt_sweeps.config.methods import MeasureConfig, Override, PerturbedConfig
from lt_sweeps.config.schema import CONF
from lt_sweeps.errors import Mistake
from lt_sweeps.registry import nearest, needs, part
from lt_sweeps.specs import Part

AGAINST = tuple(f.name for f in fields(MeasureConfig) if f.default_factory is Override)


def chosen(config: MeasureConfig) -> Iterator[tuple[str, Part]]:
    """Yields what each measure compares a level with, and the measure. Raises Mistake.

    >>> config = MeasureConfig("both", of={"trained": {"recall": {}}}, sibling=Override("barrier", {"points": 3}))
    >>> [(other, what.name) for other, what in chosen(config)]
    [('sibling', 'barrier'), ('trained', 'recall')]
    """
    for other in config.of:
        if other not in AGAINST:
            raise Mistake(f"measure.of.{other}: there is {', '.join(AGAINST)}{nearest(str(other), AGAINST)}")
    for other in AGAINST:
        override: Override = getattr(config, other)
        if override.name is not None:
            yield other, measure(override.name, override.args)
        several = config.of.get(other) or {}
        if not isinstance(several, Mapping):
            raise Mistake(f"measure.of.{other}={several}: give measures and their arguments, such as {{overlap: {{}}}}")
        for name, args in several.items():
            if not isinstance(args or {}, Mapping):
                raise Mistake(f"measure.of.{other}.{name}={args}: give arguments, such as {{points: 30}}, or {{}}")
            yield other, measure(str(name), args or {})


def measure(name: str, args: Mapping[str, Any] | None = None) -> Part:
    """Returns the measure of a registered name or an import path. Raises Mistake if there is none.

    >>> measure("barier")
    Traceback (most recent call last):
    lt_sweeps.errors.Mistake: there is no measure 'barier'; did you mean 'barrier'?
    """
    try:
        return part("measure", name, args or {})
    except (ValueError, TypeError) as error:
        raise Mistake(str(error)) from None


def require_tickets(other: str, what: Part) -> None:
    """Raises Mistake if a registered measure is asked of other tickets than it takes.

    >>> require_tickets("parent", Part("barrier", 1))
    >>> require_tickets("trained", Part("barrier", 1))
    Traceback (most recent call last):
    lt_sweeps.errors.Mistake: measure of barrier, trained: it compares two networks, and there is one
    """
    requirements = needs("measure", what.name)
    if "before" in requirements and other != "before":
        raise Mistake(f"measure of {what.name}, {other}: it is of the training before a level: measure.of.before")
    if "whole" in requirements and other != "whole":
        raise Mistake(f"measure of {what.name}, {other}: it is of a mask before training: measure.of.whole")
    if "pair" in requirements and other in ("before", *ALONE):
        count = "one" if other in ALONE else "a training"
        raise Mistake(f"measure of {what.name}, {other}: it compares two networks, and there is {count}")
    if "starts" in requirements and other not in ("sibling", "parent", "dense"):
        raise Mistake(
            f"measure of {what.name}, {other}: it compares two trainings: measure.of.sibling, parent or dense"
        )


def option(name: str) -> MeasureConfig:
    """Returns the configuration of an option of `measure`. Raises Mistake if there is none of this name.

    >>> option("sign_flips").start.name, option("none").name
    ('sign_flips', 'none')
    """
    path, names = CONF / "measure" / f"{name}.yaml", sorted(p.stem for p in (CONF / "measure").glob("*.yaml"))
    if name not in names:
        raise Mistake(f"measure={name}: there is {', '.join(names)}{nearest(name, names)}")
    own = OmegaConf.load(path)
    assert isinstance(own, DictConfig)
    others = [option(str(entry)) for entry in own.pop("defaults", []) if entry != "_self_"]
    merged = OmegaConf.merge(OmegaConf.structured(MeasureConfig), *map(_non_defaults, others), own)
    config = OmegaConf.to_object(merged)
    assert isinstance(config, MeasureConfig)
    return config


def _non_defaults(config: MeasureConfig) -> dict[str, Any]:
    """Returns the settings of an option that differ from the defaults."""
    named = {name: override for name in AGAINST if (override := getattr(config, name)).name is not None}
    noise = {} if config.perturbed == PerturbedConfig() else {"perturbed": asdict(config.perturbed)}
    return {**named, **noise, "of": config.of}


def require_mergeable(options: Sequence[str]) -> None:
    """Raises Mistake if two of several options of `measure` set the same key. Names without a file are ignored.

    >>> require_mergeable(["overlap", "barrier"])
    >>> require_mergeable(["barrier", "barriers"])
    Traceback (most recent call last):
    lt_sweeps.errors.Mistake: measure=[barrier,barriers]: both set measure.sibling, and one would replace the other
    """
    known = [option(name) for name in options if (CONF / "measure" / f"{name}.yaml").exists()]
    for other in AGAINST:
        those = [config for config in known if getattr(config, other).name is not None]
        if len(those) > 1:
            many = f"measure=[{','.join(options)}]"
            raise Mistake(f"{many}: both set measure.{other}, and one would replace the other")


def joined(configs: list[MeasureConfig]) -> MeasureConfig:
    """Merges configurations of measures. Raises Mistake if two set the same measure with different arguments.

    >>> one, other = MeasureConfig("a", of={"trained": {"recall": {}}}), MeasureConfig("b", start=Override("recall"))
    >>> both = joined([one, other])
    >>> both.name, both.of
    ('a,b', {'trained': {'recall': {}}, 'start': {'recall': {}}})
    """
    of: dict[str, dict[str, Mapping[str, object]]] = {}
    for config in configs:
        for other, what in chosen(config):
            args = of.setdefault(other, {}).setdefault(what.name, what.args)
            if args != what.args:
                raise Mistake(f"measure.of.{other}.{what.name}: asked for with {dict(args)} and with {dict(what.args)}")
    perturbations = [config.perturbed for config in configs if any(other == "spawn" for other, _ in chosen(config))]
    if any(noise != perturbations[0] for noise in perturbations):
        raise Mistake(f"measure.perturbed: asked for with {perturbations[0]} and with others")
    perturbed = perturbations[0] if perturbations else PerturbedConfig()
    names = dict.fromkeys(name for config in configs for name in config.name.split(",") if name != "none")
    return MeasureConfig(",".join(names) or "none", perturbed=perturbed, of=of)
