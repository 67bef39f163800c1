"""Makes the loggers that `logger=` names; checks them before anything starts, without network access."""

from __future__ import annotations

import netrc
import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from lt_sweeps.config.schema import LoggerConfig
from lt_sweeps.errors import Mistake
from lt_sweeps.loggers.runs import Logger
from lt_sweeps.store.store import Store

MODES = ("online", "run", "offline", "dryrun", "disabled", "")  # of WANDB_MODE; "run" and "dryrun" are its old words
NEEDED = {"mlflow": ("mlflow", "sqlalchemy", "alembic"), "trackio": ("trackio",)}  # kind -> modules of its extra
SAAS = "https://api.wandb.ai"


def check(config: LoggerConfig) -> None:
    """Raises Mistake for a logger that could not log."""
    if "tensorboard" in config.kinds and not any(find_spec(name) for name in ("tensorboard", "tensorboardX")):
        raise Mistake("logger=tensorboard: it is not installed: pip install tensorboard")
    for kind, modules in NEEDED.items():
        if kind in config.kinds and not all(find_spec(module) for module in modules):
            raise Mistake(f"logger={kind}: it is not installed: pip install 'lt-sweeps[{kind}]'")
    if "wandb" not in config.kinds:
        return
    if (mode := os.environ.get("WANDB_MODE", "")) not in MODES:
        raise Mistake(f"WANDB_MODE={mode}: choose one of {', '.join(filter(None, MODES))}")
    if config.mode == "online" and not is_logged_in():
        raise Mistake(f"logger.mode=online: not logged in to {_host()}: `wandb login`, or logger.mode=offline")
    if not re.fullmatch(r"[^/\\#?%:]{1,128}", config.project):
        raise Mistake(f"logger.project={config.project}: W&B wants 1 to 128 characters, none of them / \\ # ? % :")
    for tag in config.tags:
        if not 1 <= len(tag) <= 64:
            raise Mistake(f"logger.tags: {tag!r} must have 1 to 64 characters")


def make(config: LoggerConfig, folder: Path, store: Store) -> list[Logger]:
    """Returns the chosen loggers, which write below `folder`."""
    loggers = (_logger(kind, config, folder, store) for kind in config.kinds)
    return [logger for logger in loggers if logger is not None]


def _logger(kind: str, config: LoggerConfig, folder: Path, store: Store) -> Logger | None:
    if kind == "mlflow":
        from lt_sweeps.loggers.mlflow import Mlflow

        return Mlflow(config.project, folder)
    if kind == "trackio":
        from lt_sweeps.loggers.trackio import Trackio

        return Trackio(config.project, folder)
    if kind != "wandb":
        from lt_sweeps.loggers.lightning import Lightning

        return Lightning(kind, folder)
    if config.mode == "auto" and os.environ.get("WANDB_MODE") == "disabled":
        print("logger=wandb: off (WANDB_MODE=disabled)")
        return None
    from lt_sweeps.loggers.wandb import Wandb

    return Wandb(config, *_mode(config), folder, store)


def _mode(config: LoggerConfig) -> tuple[Literal["online", "offline"], str]:
    """Returns online or offline, and why."""
    if config.mode == "offline":
        return "offline", "as asked"
    if config.mode == "online":
        return "online", "as asked"
    if os.environ.get("WANDB_MODE") in ("offline", "dryrun"):
        return "offline", f"WANDB_MODE={os.environ['WANDB_MODE']}"
    return ("online", f"logged in to {_host()}") if is_logged_in() else ("offline", f"not logged in to {_host()}")


def is_logged_in() -> bool:
    """Whether W&B would find a key: in the environment, or where `wandb login` puts it."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    home = Path.home()
    netrc_path = os.environ.get("NETRC")
    for path in [Path(netrc_path)] if netrc_path else [home / ".netrc", home / "_netrc"]:
        try:
            return netrc.netrc(path).authenticators(_host()) is not None
        except FileNotFoundError:
            continue
        except (netrc.NetrcParseError, OSError):
            return False
    return False


def _host() -> str:
    return urlsplit(os.environ.get("WANDB_BASE_URL", SAAS)).netloc
