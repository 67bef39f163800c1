"""`lt-sweeps dashboard FOLDER`: a W&B workspace and report of a sweep, made in code: accuracy over sparsity first.

W&B's web workspace ignores the step metric that a run defines (wandb issue 11533), so the x axis is set in each panel.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lt_sweeps.config import archive
from lt_sweeps.config.schema import LoggerConfig
from lt_sweeps.errors import Mistake
from lt_sweeps.loggers.choose import is_logged_in
from lt_sweeps.parser import Parser
from lt_sweeps.report import table
from lt_sweeps.report.curves import Curve, curves, varied
from lt_sweeps.report.verdict import verdicts

RUNS = 200  # that a panel may show; W&B's default is 10
SHARE, LEFT, STEP = "sparsity", "weights_remaining", "lth/step"  # of the rows that are logged
AXES = {SHARE: "sparsity", LEFT: "weights remaining (%)", STEP: "step, over all levels"}


def main(arguments: Sequence[str]) -> int:
    """Saves workspace and report, or prints them; returns the exit code. Raises Mistake."""
    parser = Parser(
        "lt-sweeps dashboard",
        description="A W&B workspace and report of a sweep that was logged by logger=wandb.",
        epilog="It opens on test accuracy over sparsity, then shows speed of learning, measures and training curves.",
    )
    parser.add_argument("folder", type=Path, help="of a sweep")
    parser.add_argument("--project", default=LoggerConfig().project, help="logger.project of the sweep (%(default)s)")
    parser.add_argument("--entity", default="", help="logger.entity of the sweep (your own)")
    parser.add_argument("--dry-run", action="store_true", help="print the workspace as JSON; needs no login")
    options = parser.parse_args(list(arguments))
    sweep = described(options.folder, options.project, options.entity)
    if options.dry_run:
        print(json.dumps(as_json(workspace(sweep)), indent=1))
        return 0
    if not is_logged_in():
        raise Mistake("dashboard: not logged in to W&B: `wandb login`, or look at what it would be with --dry-run")
    try:
        sweep = sweep if sweep.entity else replace(sweep, entity=_own_entity())
        saved = [workspace(sweep).save(), report(sweep).save()]
    except Exception as error:  # of a network or of an account
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise Mistake(f"dashboard: W&B refused it ({reason})") from None
    print(f"workspace: {saved[0].url}\nreport:    {saved[1].url}")
    return 0


@dataclass(frozen=True)
class Sweep:
    """What a dashboard is about."""

    name: str
    project: str
    entity: str
    curves: Sequence[Curve]
    settings: Sequence[str]  # dotted names in W&B's config in which cells differ
    measures: Sequence[str]


def described(folder: Path, project: str, entity: str = "") -> Sweep:
    """Reads what is needed of a sweep's folder. Raises Mistake."""
    past, all_curves = archive.cells(folder), curves(table.read(folder))
    if not (folder / "wandb").is_dir():
        raise Mistake(f"dashboard: {folder} was not logged; its command with logger=wandb logs it, and trains nothing")
    columns = dict.fromkeys(name for c in all_curves for p in c.points for name, values in p.measures.items() if values)
    return Sweep(
        folder.resolve().name,
        project,
        entity,
        all_curves,
        [_setting(name, past[0].settings) for name in varied(all_curves)],
        [*columns],
    )


def _setting(name: str, settings: Any) -> str:
    """The dotted name of a label in the configuration: groups have a name in it."""
    value = settings.get(name) if isinstance(settings, dict) else None
    return f"{name}.name" if isinstance(value, dict) and "name" in value else name


def _own_entity() -> str:
    import wandb

    return str(wandb.Api().default_entity)


def workspace(sweep: Sweep) -> Any:
    """Returns the workspace, as wandb-workspaces has it."""
    ws, _ = _library()
    sections = [
        ws.Section(name=name, panels=panels, is_open=number < 2, pinned=not number)
        for number, (name, panels) in enumerate(_sections(sweep))
        if panels
    ]
    return ws.Workspace(
        entity=sweep.entity,
        project=sweep.project,
        name=f"{sweep.name}: accuracy over sparsity",
        sections=sections,
        settings=ws.WorkspaceSettings(x_axis=SHARE, max_runs=100),
        runset_settings=ws.RunsetSettings(
            filters=[ws.Metric("Group") == sweep.name, ws.Metric("JobType") != "aggregate"],
            groupby=[ws.Config(name) for name in sweep.settings],
        ),
    )


def report(sweep: Sweep) -> Any:
    """Returns the report: the findings as sentences, then the panels."""
    _, wr = _library()
    runs = wr.Runset(
        entity=sweep.entity,
        project=sweep.project,
        name=sweep.name,
        filters=f"Metric('Group') == '{sweep.name}' and Metric('JobType') != 'aggregate'",
        groupby=[f"config.{name}" for name in sweep.settings],
    )
    blocks: list[Any] = [wr.P(sentence) for sentence in verdicts(sweep.curves)]
    for name, panels in _sections(sweep):
        blocks += [wr.H2(name), wr.PanelGrid(runsets=[runs], panels=panels)] if panels else []
    title = f"{sweep.name}: accuracy over sparsity"
    return wr.Report(project=sweep.project, entity=sweep.entity, title=title, blocks=blocks, width="fluid")


def as_json(document: Any) -> Any:
    """Returns a workspace as what is sent to W&B. The library has no public way to it that needs no login."""
    return json.loads(document._to_model().model_dump_json())


def _sections(sweep: Sweep) -> list[tuple[str, list[Any]]]:
    _, wr = _library()
    metric = sweep.curves[0].metric if sweep.curves else None
    name = metric.name if metric else "accuracy"
    title = metric.title if metric else "accuracy"
    early = any(curve.at_early_stop for curve in sweep.curves)
    shown = f"level/early_stop_test_{name}" if early else f"level/test_{name}"
    when = " at early stop" if early else ""

    def line(what: str, y: str, x: str = SHARE, **more: Any) -> Any:
        settings = {"max_runs_to_show": RUNS, "smoothing_factor": 0.0, "ignore_outliers": False, **more}
        return wr.LinePlot(title=what, x=x, y=[y], title_x=AXES[x], **settings)

    def mean(what: str, y: str) -> Any:
        settings: dict[str, Any] = {"groupby_aggfunc": "mean", "groupby_rangefunc": "stddev", "aggregate": True}
        return line(f"{what}, mean and deviation", y, **settings)

    columns = [wr.ParallelCoordinatesPlotColumn(metric=wr.Config(setting)) for setting in sweep.settings]
    columns += [wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric(y)) for y in (SHARE, shown)]
    first = f"Test {title}{when} over sparsity"
    return [
        (
            "Accuracy over sparsity" if name == "accuracy" else f"{title} over sparsity".capitalize(),
            [
                line(first, shown),
                mean(first, shown),
                line(f"Test {title}{when} over weights remaining", shown, LEFT, log_x=True),
            ],
        ),
        ("Speed of learning", [line("Early-stop step over sparsity", "level/early_stop_step")] if early else []),
        (
            "Measures",
            [line(f"{column.replace('_', ' ')} over sparsity", f"level/{column}") for column in sweep.measures],
        ),
        (
            "Training",
            [line(y, y, STEP) for y in (f"val/{name}", "val/loss", "train/loss")],
        ),
        (
            "Sparsest level of each run",
            [wr.ParallelCoordinatesPlot(columns=columns), wr.RunComparer(diff_only="split")],
        ),
    ]


def _library() -> tuple[Any, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it notes at import that pydantic will drop what it uses
            import wandb_workspaces.reports.v2 as wr
            import wandb_workspaces.workspaces as ws
    except ImportError:
        raise Mistake("dashboards need wandb-workspaces: pip install 'lt-sweeps[dashboards]'") from None
    return ws, wr
