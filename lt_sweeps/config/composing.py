"""Every cell of a sweep with the values Hydra gives it, at a fraction of what composing each one would cost.

Hydra composes once per distinct choice of groups. What a cell sets beside that is applied by Hydra's own function
to copies of what it touches, and what nothing refers to and nothing touches is converted once.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict


class Composer:
    """Composes the cells of one multirun; `master` is the configuration that Hydra made for the whole of it."""

    def __init__(self, loader: ConfigLoaderImpl, master: DictConfig) -> None:
        self._loader, self._master = loader, master
        self._parser = OverridesParser.create()
        hydras = list(master.hydra.overrides.hydra)  # hydra.searchpath, which says where there are groups, among them
        _, self._groups = loader._parse_overrides_and_create_caching_repo(master.hydra.job.config_name, hydras)
        self._known: dict[str, tuple[Override, bool]] = {}
        self._chosen: dict[tuple[str, ...], _Chosen] = {}

    def values(self, words: Sequence[str]) -> dict[str, Any]:
        """A cell as plain values, resolved, without `hydra`. Raises what Hydra or OmegaConf would raise."""
        overrides = [self._read(word) for word in words]
        if any(override.is_hydra_override() or override.is_sweep_override() for override, _ in overrides):
            overrides = [(override, False) for override, _ in overrides]  # all of it is Hydra's
        groups = tuple(word for word, (_, is_value) in zip(words, overrides, strict=True) if not is_value)
        if groups not in self._chosen:
            self._chosen[groups] = _Chosen(self._loader.load_sweep_config(self._master, list(groups)))
        return self._chosen[groups].values([override for override, is_value in overrides if is_value])

    def _read(self, word: str) -> tuple[Override, bool]:
        """An override, and whether it sets a value, as Hydra tells that from the choice of a group."""
        if word not in self._known:
            (override,) = self._parser.parse_overrides([word])
            is_value = isinstance(override.value(), dict) or not self._groups.group_exists(override.key_or_group)
            self._known[word] = override, is_value
        return self._known[word]


class _Chosen:
    """A configuration in which the groups are chosen."""

    def __init__(self, config: DictConfig) -> None:
        with open_dict(config):
            del config["hydra"]
        self._config = config
        raw = OmegaConf.to_container(config, resolve=False)
        assert isinstance(raw, dict)
        self._free = {name for name, value in raw.items() if "${" not in repr(value)}  # they refer to nothing
        self._settled: dict[Any, Any] = {}  # the values of those that are free

    def values(self, overrides: Sequence[Override]) -> dict[str, Any]:
        """What the configuration comes to with these overrides, which leave it as it was."""
        touched = self._touched(overrides)
        with self._copied(touched):
            ConfigLoaderImpl._apply_overrides_to_config(list(overrides), self._config)
            return {str(name): self._value(name, name in touched) for name in self._config}

    def _touched(self, overrides: Sequence[Override]) -> set[Any]:
        """The names at the top below which overrides write: all of them where a path may lead through a reference."""
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
        """Let what lies below these names be written to for a while: a copy of the whole costs more than all else."""
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
        return copy.deepcopy(self._settled[name])  # nobody shares lists and mappings with another cell


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True, throw_on_missing=True) if OmegaConf.is_config(value) else value
