"""The schema of a command line: Hydra composes the groups of `conf/` onto these dataclasses. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from lt_sweeps.config.methods import (
    CriterionConfig,
    FindConfig,
    HookConfig,
    MeasureConfig,
    PruneConfig,
    RewindConfig,
    Slot,
    TrainConfig,
    TransferConfig,
)

HERE = Path(__file__).parent.parent
CONF = next(folder for folder in (HERE / "conf", HERE.parent / "conf") if folder.is_dir())


@dataclass
class DatasetConfig:
    """A data set: its source, shape, sizes and files."""

    name: str = MISSING
    _target_: str | None = None  # any callable that returns data, instead of `name`; its sizes are counted
    args: dict[str, Any] = field(default_factory=dict)
    shape: list[int] = MISSING  # of one example: C, H, W
    classes: int = MISSING  # outputs of a network: classes, or in regression the numbers of a target
    train: int = MISSING  # number of examples
    test: int = MISSING
    files: list[str] = field(default_factory=list)  # under paths.data_dir; "a|b" is a or b
    host: str | None = None  # from which torchvision downloads them; "host:port" if the port is not 443


@dataclass
class Target:
    """An optimizer by import path, and its arguments."""

    _target_: str = MISSING
    args: dict[str, Any] = field(default_factory=dict)


@dataclass
class ScheduleConfig:
    """A schedule by registered name or import path, and its arguments; None: a constant learning rate."""

    _target_: str | None = None
    args: dict[str, Any] = field(default_factory=dict)


@dataclass
class RecipeConfig:
    """A paper's training protocol; times are in published iterations or epochs."""

    name: str = MISSING
    source: str = MISSING  # where it is published
    open: dict[str, str] = field(default_factory=dict)  # field that the source leaves open -> our choice, and why
    differs: dict[str, str] = field(default_factory=dict)  # field -> what the source does and we cannot
    steps: str = MISSING  # "50000it" or "160ep"
    batch_size: int = MISSING
    optimizer: Target = field(default_factory=Target)
    schedule: ScheduleConfig | None = field(default_factory=ScheduleConfig)  # None takes no overrides
    clip_norm: float | None = None
    precision: str = "32-true"
    validation: int = 0  # examples held out of the training set
    split_seed: int = 0
    last_batch: str = "drop"
    mean: list[float] = field(default_factory=list)
    std: list[float] = field(default_factory=list)
    augment: list[Any] = field(default_factory=list)  # names, or {name: ..., args: {...}}
    eval_every: str = MISSING
    # Number of equal parts of a batch with their own batch statistics; N for per-device statistics of N devices.
    batchnorm_groups: int = 1
    slimming: float = 0.0  # weight of the penalty |scale| of batch normalisation, added to its gradients


@dataclass
class ModelConfig:
    """A network, and how its weights are drawn."""

    name: str = MISSING
    _target_: str | None = None  # any callable that returns a torch.nn.Module
    args: dict[str, Any] = field(default_factory=dict)
    width: float = 1.0  # factor of channels and hidden units, for networks that support it
    initialiser: str | None = None  # None: the layers' own
    initialiser_args: dict[str, Any] = field(default_factory=dict)
    min_side: int = 1  # least height and width of an image


@dataclass
class BudgetConfig:
    """Scales steps, rewind points, evaluation and data together; see `lt_sweeps.config.budget`."""

    name: str = MISSING
    steps: float = 1.0  # share of the recipe's steps
    max_steps: int | None = None
    train_examples: int | None = None
    eval_examples: int | None = None
    batch_size: int | None = None  # at most
    evaluations: int | None = None  # per training; None: the recipe's cadence
    levels: int = MISSING  # the default of prune.levels


@dataclass
class SeedsConfig:
    """One seed per kind of randomness."""

    init: int = 0
    order: int = 0
    augment: int = 0
    score: int = 0
    treat: int = 0
    ties: int = 0
    draw: int = 0  # of gates and hooks


@dataclass
class TrainerConfig:
    """Hardware settings; none of them changes what a result means."""

    accelerator: str = "auto"
    devices: int = 1  # per training; the only trainer setting in which cells may differ
    processes: int | None = None  # concurrent trainings; None: as cores or GPUs allow; 0: one, in the main process
    workers_per_device: int = 1  # processes that share a GPU
    together: int | None = 1  # trainings in one process, on threads; None: as a GPU's memory allows, 8 at most
    threads: int = 1  # of each process
    workers: int | None = None  # processes that decode image files; None: as many as processor cores, 16 at most
    deterministic: bool = True
    kernel: str = "auto"  # masked; CPU: sparse, dense, channels_last; GPU: graph (same bits); auto: the fastest


@dataclass
class LoggerConfig:
    """The loggers of a running sweep; nothing here changes a key or a result."""

    to: dict[str, bool] = field(default_factory=dict)  # kind of logger -> whether it logs
    project: str = "lt_sweeps"  # of W&B and Trackio; MLflow's experiment
    entity: str | None = None  # this and the following are for W&B
    tags: list[str] = field(default_factory=list)
    mode: str = "auto"  # online if logged in
    artifacts: str = "masks"

    @property
    def kinds(self) -> list[str]:
        """The kinds of loggers that log."""
        return [kind for kind, logs in self.to.items() if logs]


@dataclass
class PathsConfig:
    """The folder of data sets, and the folder of sweeps and the store."""

    data_dir: str = "data"
    output_dir: str = "runs"


@dataclass
class Config:
    """One cell of a sweep."""

    seed: int = 0
    sweep: str | None = None  # the folder's name; None: made from the cells
    ticket: str | None = None  # start from this instead of the dense network: a ticket's folder, or a stored key
    mask_from: str | None = None  # one level with this mask instead of pruning: a ticket's folder, or a stored key
    seeds: SeedsConfig = field(default_factory=SeedsConfig)
    task: Slot = field(default_factory=Slot)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    corruption: Slot = field(default_factory=Slot)
    recipe: RecipeConfig = field(default_factory=RecipeConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    criterion: CriterionConfig = field(default_factory=CriterionConfig)
    allocation: Slot = field(default_factory=Slot)
    prune: PruneConfig = field(default_factory=PruneConfig)
    survivors: Slot = field(default_factory=Slot)
    pruned: Slot = field(default_factory=Slot)
    control: Slot = field(default_factory=Slot)
    gate: Slot = field(default_factory=Slot)
    hook: HookConfig = field(default_factory=HookConfig)
    rewind: RewindConfig = field(default_factory=RewindConfig)
    find: FindConfig = field(default_factory=FindConfig)
    transfer: TransferConfig = field(default_factory=TransferConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    measure: MeasureConfig = field(default_factory=MeasureConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    paths: PathsConfig = field(default_factory=PathsConfig)
