"""Measures that any experiment can add: planned, shared, kept, interrupted; and what a barrier is."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small import NETWORK, examples, run_of, weights
from test_supervise import Engine, contents, works
from test_sweep import SMALL, cells_of, sweep
from torch import Tensor

import lt_sweeps as lt
from lt_sweeps.engines import supervise
from lt_sweeps.execution.wire import decoded, encoded
from lt_sweeps.graph import At, Measure, Train, at, end, sources, topological
from lt_sweeps.main import main
from lt_sweeps.masks import State, effective
from lt_sweeps.measures.connectivity import barrier, between, renew_statistics
from lt_sweeps.measures.ends import Ends
from lt_sweeps.methods.measured import parent, sibling
from lt_sweeps.networks.build import build, holding
from lt_sweeps.realise import Values
from lt_sweeps.registry import part
from lt_sweeps.report.points import by_measure
from lt_sweeps.report.table import read_points
from lt_sweeps.store.store import Store
from lt_sweeps.sweeps import run as sweeps
from lt_sweeps.sweeps.status import status
from lt_sweeps.sweeps.terminal import lines

pytestmark = pytest.mark.sweeps

Rows = list[dict[str, str]]
BOTH = "measure=barriers"


def told(capsys: pytest.CaptureFixture[str]) -> tuple[int, ...]:
    """Trainings to do, measures, measures stored and to do, siblings, of the last plan that was printed."""
    pattern = r"(\d+) to train; (\d+) measures, (\d+) in the store, (\d+) to do(?: \((\d+) of the trainings are sib)?"
    return tuple(int(n or 0) for n in re.findall(pattern, capsys.readouterr().out)[-1])


def curves(folder: Path) -> Rows:
    return list(csv.DictReader((folder / "s" / "measures.csv").read_text().splitlines()))


def ends_of(first: State, second: State, mask: dict[str, Tensor] | None = None) -> Ends:
    """Two states of the small network on the embedded digits."""
    module = build(NETWORK)
    masks = ({}, mask or {})
    return Ends((first, second), masks, 10, lambda state: holding(module, state), examples().chunks)


# ------------------------------------------------------------------------------------ what it is


def test_a_trained_network_lies_in_its_own_valley_and_its_permuted_copy_in_another(tmp_path: Path) -> None:
    """Permuting hidden neurons changes nothing that the network computes, and everything on the way."""
    sweep(tmp_path, "prune.levels=0", "recipe.steps=200it")
    run = lt.open(tmp_path / "s").ticket(level=0)
    state, values = run.state(), run._values()
    order = torch.randperm(len(state["fc1.bias"]), generator=torch.Generator().manual_seed(0))
    permuted = dict(state)
    permuted["fc1.weight"], permuted["fc1.bias"] = state["fc1.weight"][order], state["fc1.bias"][order]
    permuted["fc2.weight"] = state["fc2.weight"][:, order]
    module, loader = run.module(), values.examples(run.expression.data)

    def measured(second: State) -> Any:
        return barrier(Ends((state, second), ({}, {}), 10, lambda one: holding(module, one), loader.chunks), points=7)

    itself, copy = measured(state), measured(permuted)
    assert itself["barrier"] == 0.0
    assert len(set(itself["test_error"])) == 1
    assert itself["test_error"][0] == pytest.approx(100 - run.row["test_accuracy"], abs=1e-3)
    assert copy["test_error"][0] == pytest.approx(copy["test_error"][-1], abs=0.6), "rounding may turn an example over"
    assert copy["barrier"] > 1
    assert copy["midpoint"] == copy["test_error"][3]


def test_ends_are_exact_and_the_second_mask_holds_on_all_of_the_line() -> None:
    first, second = weights(0), weights(1)
    mask = {"fc.weight": torch.rand_like(first["fc.weight"]) < 0.5}
    second = effective(second, mask)
    for alpha in (0.0, 0.3, 1.0):
        point = between(first, second, alpha, mask)
        assert not point["fc.weight"][~mask["fc.weight"]].any()
    assert all(torch.equal(value, second[name]) for name, value in between(first, second, 1.0, mask).items())
    start = between(first, second, 0.0, {})
    assert all(torch.equal(start[name], first[name]) for name in start if start[name].is_floating_point())


def test_recomputed_statistics_are_those_of_the_training_examples() -> None:
    ends = ends_of(weights(0), weights(1))
    module = ends.network(weights(0))
    renew_statistics(module, ends)
    means = [module.conv(x).mean((0, 2, 3)) for x, _ in ends.examples("train")]  # type: ignore[operator]
    assert torch.allclose(module.bn.running_mean, torch.stack(means).mean(0), atol=1e-5)  # type: ignore[union-attr]
    assert not module.training
    found = barrier(ends, points=3, batchnorm="recompute")
    assert found["test_error"] != barrier(ends, points=3)["test_error"]
    with pytest.raises(ValueError, match="give 2 or more"):
        barrier(ends, points=1)


# --------------------------------------------------------------------------------- expressions


def test_a_sibling_differs_in_data_order_and_augmentation_alone() -> None:
    run = run_of()
    other = sibling(run)
    assert (other.order, other.augment) != (run.order, run.augment)
    assert replace(other, order=run.order, augment=run.augment) == run
    assert sibling(run) == other
    assert sibling(replace(run, order=5, augment=5)) not in (run, other)


def test_a_measure_is_told_to_workers_and_depends_on_its_trainings() -> None:
    run = run_of()
    measure = Measure(part("measure", "barrier", {"points": 3}), (end(sibling(run)), end(run)), run.data)
    again = decoded(encoded([measure]))[measure.key]
    assert again == measure
    assert isinstance(again, Measure)
    assert again.of == measure.of
    assert sources(measure) == sorted([run.key, sibling(run).key])
    assert replace(measure, of=measure.of[::-1]) != measure
    assert sum(isinstance(node, Train) for node in topological([measure])) == 2


def test_a_parent_is_the_training_that_a_mask_was_pruned_from() -> None:
    levels = cells_of()[0].levels
    assert [parent(run) for run in levels] == [None, *levels[:-1]]
    one_shot = cells_of("prune=one_shot")[0].levels
    assert [parent(run) for run in one_shot] == [None, one_shot[0], one_shot[0]]
    assert {parent(run) for run in cells_of("prune=at_init")[0].levels} == {None}


def test_what_is_measured_changes_no_training() -> None:
    plain, both = cells_of()[0], cells_of(BOTH)[0]
    assert plain.levels == both.levels
    assert plain.roots == plain.levels
    assert list(both.measures) == ["barrier", "barrier_parent"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("measure.sibling.name=barier",), "there is no measure 'barier'; did you mean 'barrier'?"),
        (
            ("measure=barrier", "measure.sibling.args.points=1"),
            "args.points=1 args.batchnorm=average: give 2 to 10,000",
        ),
        (
            ("measure=barrier", "measure.sibling.args.points=1000000000"),
            "args.points=1000000000 args.batchnorm=average",
        ),
        (("measure=barrier", "measure.sibling.args.points=10001"), "give 2 to 10,000 points"),
        (("measure=barrier", "measure.sibling.args.batchnorm=none"), "and average or recompute"),
        (("measure=barrier_parent", "prune=at_init"), "no mask here was pruned from a training"),
    ],
)
def test_a_mistake_is_told_before_anything_starts(
    words: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-m", *SMALL, *words, f"paths.output_dir={tmp_path}"]) != 0
    assert said in capsys.readouterr().err


# --------------------------------------------------------------------------------------- sweeps


def test_measures_added_later_train_siblings_only_and_a_rerun_does_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = sweep(tmp_path)
    rows = sweep(tmp_path, BOTH)
    assert told(capsys) == (3, 5, 0, 5, 3)
    assert [{name: row[name] for name in plain[0]} for row in rows] == plain
    assert [row["barrier_parent"] == "" for row in rows] == [True, False, False]
    points = curves(tmp_path)
    assert len(points) == 5 * 30
    for row in rows:
        line = [p for p in points if (p["level"], p["measure"]) == (row["level"], "barrier")]
        errors = [float(point["test_error"]) for point in line]
        assert [line[0]["alpha"], line[-1]["alpha"]] == ["0.0", "1.0"]
        assert float(row["barrier"]) == pytest.approx(max(errors) - (errors[0] + errors[-1]) / 2, abs=1e-3)
        assert 100 - errors[-1] == pytest.approx(float(row["test_accuracy"]), abs=1e-3), "its second end is the level"
    report = (tmp_path / "s" / "report.html").read_text()
    assert "stable below 2 points" in report
    assert 'id="barrier-parent-1"' in report
    there = contents(tmp_path / "store")
    assert sweep(tmp_path, BOTH) == rows
    assert told(capsys) == (0, 5, 5, 0, 3)
    assert contents(tmp_path / "store") == there
    assert "6 trainings, 5 measures: 11 done" in " ".join(map(str.strip, lines(status(tmp_path / "s"))))
    assert sweep(tmp_path) == rows, "what was measured stays in the table of a command that does not ask for it"
    assert curves(tmp_path) == points


def test_cells_share_their_measures_and_some_cells_may_have_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(tmp_path, "measure=none,barrier", "control=none", "prune.levels=0,1")
    assert told(capsys) == (4, 2, 0, 2, 2)  # one cell: the others are part of it
    rows = sweep(tmp_path, "control=reinit", "prune.levels=1")
    assert told(capsys) == (1, 2, 2, 0, 2)  # the second dense network and its measures are there
    assert {(row["control"], row["barrier"] == "") for row in rows} == {("none", False), ("reinit", True)}


def test_what_diverged_blocks_its_measures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (BOTH, "recipe.optimizer._target_=torch.optim.SGD", "recipe.optimizer.args.lr=1e30")
    rows = sweep(tmp_path, *words)
    assert [(row["status"], row["barrier"]) for row in rows] == [("diverged", ""), ("blocked", ""), ("blocked", "")]
    assert sweep(tmp_path, *words) == rows
    assert "5 measures, 0 in the store, 5 blocked, 0 to do" in capsys.readouterr().out
    assert curves(tmp_path) == []


def test_a_measure_that_was_interrupted_is_made_again_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole: Callable[..., Any] = Values.table

    def interrupted(values: Values, node: Measure, tell: Callable[[int], None]) -> Any:
        def at(point: int) -> None:
            tell(point)
            if point == 5 and len(list((tmp_path / "store" / "record").glob("*/*.json"))) > 6:
                raise KeyboardInterrupt

        return whole(values, node, at)

    monkeypatch.setattr(Values, "table", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweeps.run(cells_of(BOTH, f"paths.output_dir={tmp_path}"), "a command")
    monkeypatch.undo()
    rows = sweep(tmp_path, BOTH)
    assert told(capsys)[0] == 0
    assert all(row["barrier"] for row in rows)
    sweep(tmp_path / "undisturbed", BOTH)
    assert contents(tmp_path / "store") == contents(tmp_path / "undisturbed" / "store")


def test_agents_measure_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "PAUSE", 0.01)
    words = ("budget=smoke", "prune.levels=1", BOTH)
    sweeps.run(cells_of(*words, f"paths.output_dir={tmp_path / 'agents'}"), "a command", engine=Engine(works))
    sweeps.run(cells_of(*words, f"paths.output_dir={tmp_path / 'alone'}"), "a command")
    assert contents(tmp_path / "agents" / "store") == contents(tmp_path / "alone" / "store")
    tables = [(tmp_path / who / "s" / "measures.csv").read_bytes() for who in ("agents", "alone")]
    assert tables[0] == tables[1]


def test_a_notebook_measures_what_a_sweep_would_and_keeps_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(tmp_path)
    opened = lt.open(tmp_path / "s")
    found = opened.barrier(opened.ticket(level=0), opened.ticket(level=1))
    assert (list(found), len(found)) == (["alpha", "test_error"], 30)
    rows = sweep(tmp_path, "measure=barrier_parent")
    assert told(capsys)[:4] == (0, 2, 1, 1)
    assert float(rows[1]["barrier_parent"]) == found.attrs["barrier"]


def test_a_logger_is_told_of_them_after_all_levels(tmp_path: Path) -> None:
    sweep(tmp_path, BOTH, "logger=csv")
    [table] = tmp_path.glob("s/**/metrics.csv")
    logged = list(csv.DictReader(table.read_text().splitlines()))
    assert [bool(row["level/barrier"]) for row in logged].count(True) == 3
    assert all(row["level/barrier"] for row in logged[-3:])


def test_a_sweep_over_measures_says_of_each_point_what_was_measured(tmp_path: Path) -> None:
    sweep(tmp_path, "prune.levels=0", "task=one_hot", "measure=barrier,size")  # a label after that of measure=
    points = curves(tmp_path)
    found = {(row["measure_option"], row["measure"], row["task"]) for row in points}
    assert found == {("barrier", "barrier", "one_hot"), ("size", "size_trained", "one_hot")}
    assert set(by_measure(read_points(tmp_path / "s"))) == {"barrier", "size_trained"}


def test_the_store_names_what_a_measure_was_made_from(tmp_path: Path) -> None:
    from lt_sweeps.store_tools.show import lines, show

    sweep(tmp_path, "prune.levels=0", "measure=barrier")
    [measure] = cells_of("prune.levels=0", "measure=barrier")[0].measures["barrier"]
    assert measure is not None
    assert Store(tmp_path / "store").get(measure.key)["result"]["status"] == "done"
    said = "\n".join(lines(show(tmp_path / "store", measure.key[:10])))
    assert f"of={measure.of[0].key[:12]},{measure.of[1].key[:12]}" in said
    assert re.search(r"barrier -?[\d.]+ points over 30 points", said)


def test_where_tickets_are_rewound_the_dense_network_s_sibling_leaves_it_there() -> None:
    """Instability at step k is of two trainings that share their first k steps (Frankle et al. 2020)."""
    [one] = cells_of("rewind=step", "rewind.step=9it", "measure=barrier")
    dense = one.levels[0]
    first, *others = one.measures["barrier"]
    assert first is not None
    other, itself = (ticket.weights for ticket in first.of)
    assert isinstance(other, At)
    assert isinstance(itself, At)
    assert itself.run == dense
    assert (other.run.ticket.weights, other.run.ticket.start) == (at(dense, 9), 9)
    assert other.run.order != dense.order
    assert all(measure is not None for measure in others)


def test_a_measure_of_one_s_own_is_a_column_and_a_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = sweep(tmp_path, "measure.sibling.name=broken.good_measure", "measure.parent.name=broken.good_measure")
    assert list(rows[0])[-2:] == ["good_measure", "good_measure_parent"]
    assert all(row["good_measure"] for row in rows)
    assert "good_measure to the sibling" in (tmp_path / "s" / "report.html").read_text()
    capsys.readouterr()
    for _ in range(2):  # what cannot be kept is not kept
        assert main(["-m", *SMALL, "measure.sibling.name=broken.uneven", f"paths.output_dir={tmp_path}"]) == 1
        out = capsys.readouterr().out
        assert "measure broken.uneven: one and two differ in length" in out
    assert main(["-m", *SMALL, "measure.sibling.name=broken.density", f"paths.output_dir={tmp_path}"]) == 2
    assert "density is the name of another column" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("gate=sign_in",), ("criterion=random", "control=reinit")])
def test_signs_are_counted_against_the_rewind_point_and_against_initialisation(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the kept weights, one after the other, from what the notebook shows; no further training is needed."""
    here = ("rewind=step", "rewind.step=9it", "seed=0", "recipe.optimizer.args.lr=0.02", *words)
    rows = sweep(tmp_path, *here, "measure=sign_flips")
    assert list(rows[0])[-2:] == ["sign_flips_start", "sign_flips_init"]
    run, dense = (lt.open(tmp_path / "s").ticket(level=level) for level in (1, 0))
    initial, rewound, end = dense.state(0), run.state(9), run.state()
    assert set(run.mask) == {"fc1.weight", "fc2.weight", "output.weight"}
    for column, begun in (("sign_flips_start", rewound), ("sign_flips_init", initial)):
        pairs = [
            (a, b)
            for name, ones in run.mask.items()
            for a, b in zip(begun[name][ones].tolist(), end[name][ones].tolist(), strict=True)
        ]
        flips = sum(a < 0 < b or b < 0 < a for a, b in pairs)
        assert 0 < flips < len(pairs)
        assert float(rows[1][column]) == pytest.approx(100 * flips / len(pairs), abs=1e-6)
    assert float(rows[0]["sign_flips_start"]) == float(rows[0]["sign_flips_init"]), "dense begins at initialisation"
    assert "Sign flips to the init (% of kept weights)" in (tmp_path / "s" / "report.html").read_text()
    capsys.readouterr()
    sweep(tmp_path, *here)
    assert "0 to train" in capsys.readouterr().out


def test_a_ticket_that_is_not_trained_flips_no_signs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*SMALL, "train=untrained", "measure=sign_flips", f"paths.output_dir={tmp_path}"]
    assert main(["-m", *words]) == 2
    assert "tickets that are not trained have nothing to be measured against" in capsys.readouterr().err
