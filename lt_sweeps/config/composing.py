"""Composes every cell of a sweep to the values that Hydra gives it, at a fraction of the cost of Hydra per cell.

Hydra composes once per distinct choice of groups. A cell's other overrides are applied by Hydra's own function to
copies of the top-level nodes that they touch. A node that is untouched and has no interpolations is converted once.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from lt_sweeps.config.schema import CONF, Config


@cache
def register_schema() -> None:
    """Registers the schema with Hydra, once per process: it takes a third of the time of a composition."""
    ConfigStore.instance().store(name="schema", node=Config)


def composed(words: Sequence[str]) -> dict[str, Any]:
    """Returns one cell as plain, resolved values, as a command line with these words makes it, without `hydra`.

    Raises the errors of Hydra and OmegaConf.
    """
    return _alone().values(words)


@cache
def _alone() -> Composer:
    register_schema()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        loader: Any = hydra.config_loader
        return Composer(loader, loader.load_configuration("config", [], RunMode.MULTIRUN))


class Composer:
    """Composes the cells of one multirun; `master` is Hydra's configuration of the multirun."""

    def __init__(self, loader: ConfigLoaderImpl, master: DictConfig) -> None:
        self._loader, self._master = loader, master
        self._parser = OverridesParser.create()
        hydras = list(master.hydra.overrides.hydra)  # among them hydra.searchpath, which adds groups
        _, self._groups = loader._parse_overrides_and_create_caching_repo(master.hydra.job.config_name, hydras)
        self._known: dict[str, tuple[Override, bool]] = {}
        self._chosen: dict[tuple[str, ...], _Chosen] = {}

    def values(self, words: Sequence[str]) -> dict[str, Any]:
        """Returns a cell as plain, resolved values, without `hydra`. Raises the errors of Hydra and OmegaConf."""
        overrides = [self._read(word) for word in words]
        if any(override.is_hydra_override() or override.is_sweep_override() for override, _ in overrides):
            overrides = [(override, False) for override, _ in overrides]  # Hydra composes all of it
        groups = tuple(word for word, (_, is_value) in zip(words, overrides, strict=True) if not is_value)
        if groups not in self._chosen:
            self._chosen[groups] = _Chosen(self._loader.load_sweep_config(self._master, list(groups)))
        return self._chosen[groups].values([override for override, is_value in overrides if is_value])

    def _read(self, word: str) -> tuple[Override, bool]:
        """Parses an override; the flag is true for a value, false for the choice of a group's option (Hydra's rule)."""
        if word not in self._known:
            (override,) = self._parser.parse_overrides([word])
            is_value = isinstance(override.value(), dict) or not self._groups.group_exists(override.key_or_group)
            self._known[word] = override, is_value
        return self._known[word]


class _Chosen:
    """A configuration whose groups are chosen, to which value overrides are applied."""

    def __init__(self, config: DictConfig) -> None:
        with open_dict(config):
            del config["hydra"]
        self._config = config
        raw = OmegaConf.to_container(config, resolve=False)
        assert isinstance(raw, dict)
        self._free = {name for name, value in raw.items() if "${" not in repr(value)}  # without interpolations
        self._settled: dict[Any, Any] = {}  # plain values of free nodes, once converted

    def values(self, overrides: Sequence[Override]) -> dict[str, Any]:
        """Returns the plain values under these overrides, and leaves the configuration unchanged."""
        touched = self._touched(overrides)
        with self._copied(touched):
            ConfigLoaderImpl._apply_overrides_to_config(list(overrides), self._config)
            return {str(name): self._value(name, name in touched) for name in self._config}

    def _touched(self, overrides: Sequence[Override]) -> set[Any]:
        """Returns the top-level names that overrides write to: all if a path may lead through an interpolation."""
        keys = [override.key_or_group.split(".") for override in overrides]
        if any("${" in str(override.input_line) for override in overrides) or any(map(self._crosses, keys)):
            return {*self._config}
        return {top for top, *_ in keys}

    def _crosses(self, path: Sequence[str]) -> bool:
        node: Any = self._config
        for depth, name in enumerate(path, 1):
            if not isinstance(node, DictConfig) or node._is_none() or node._is_missing():
                return isinstance(node, ListConfig)
            node = node._get_child(name, validate_access=False)
            if node is not None and node._is_interpolation() and (depth < len(path) or OmegaConf.is_config(node)):
                return True
        return False

    @contextmanager
    def _copied(self, names: set[Any]) -> Iterator[None]:
        """Context manager: replaces these top-level nodes by copies; copying all of them would dominate the cost."""
        whole = self._config.__dict__["_content"]
        mine = {name: copy.deepcopy(node) if name in names else node for name, node in whole.items()}
        self._config.__dict__["_content"] = mine
        try:
            yield
        finally:
            self._config.__dict__["_content"] = whole

    def _value(self, name: Any, touched: bool) -> Any:
        if touched or name not in self._free:
            return _plain(self._config[name])
        if name not in self._settled:
            self._settled[name] = _plain(self._config[name])
        return copy.deepcopy(self._settled[name])  # cells must not share lists and mappings


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True, throw_on_missing=True) if OmegaConf.is_config(value) else value
