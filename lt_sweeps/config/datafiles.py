"""Checks whether a data set is present or can be downloaded, without torch, before anything starts."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lt_sweeps.config.schema import CONF, DatasetConfig
from lt_sweeps.errors import Mistake


def declared(name: str) -> DatasetConfig | None:
    """Returns the configuration in `conf/dataset` of a registered data set; None if none is complete."""
    for path in sorted((CONF / "dataset").glob("*.yaml")):
        option: Any = OmegaConf.load(path)
        option.pop("defaults", None)  # which choose other groups
        merged = OmegaConf.merge(OmegaConf.structured(DatasetConfig), option)
        config = OmegaConf.create({"dataset": merged}).dataset  # as its interpolations name it
        if config.name == name and not any(OmegaConf.is_missing(config, field) for field in config):
            dataset: Any = OmegaConf.to_object(config)
            return dataset
    return None


def usual_folder() -> Path:
    """Returns the default of `paths.data_dir`, as in conf/config.yaml."""
    return Path(os.environ.get("LT_SWEEPS_DATA", "data"))


def require(dataset: DatasetConfig, data_dir: str | Path) -> None:
    """Raises Mistake unless the files are under `data_dir`, or torchvision can download them there."""
    folder = Path(data_dir).expanduser()
    missing = [f for f in dataset.files if not any((folder / name).exists() for name in f.split("|"))]
    if missing and not (dataset.host and _reachable(dataset.host)):
        raise Mistake(
            f"dataset={dataset.name}: {missing[0].split('|')[0]} is not under paths.data_dir={data_dir} "
            f"and cannot be downloaded here: set paths.data_dir or LT_SWEEPS_DATA to where the data lies"
        )


def _reachable(host: str, seconds: float = 0.5) -> bool:
    """Whether `host` accepts a connection within `2 * seconds`."""
    connected = threading.Event()

    def connect() -> None:
        try:
            name, _, port = host.partition(":")
            with socket.create_connection((name, int(port or 443)), timeout=seconds):
                connected.set()
        except OSError:
            pass

    attempt = threading.Thread(target=connect, daemon=True)
    attempt.start()
    attempt.join(2 * seconds)
    return connected.is_set()
