"""What a network is asked: losses and metrics, their direction in every table, and what does not fit is told first."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small import OPTIMIZERS, trained_state
from test_sweep import cells_of
from torch import Tensor, nn

import lt_sweeps as lt
from lt_sweeps import metrics
from lt_sweeps.check.example import half
from lt_sweeps.cli import main as cli
from lt_sweeps.columns import BESIDE, COLUMNS
from lt_sweeps.criteria.gradient import grasp, snip
from lt_sweeps.criteria.probe import HeldExamples, Probe
from lt_sweeps.datasets.examples import Examples
from lt_sweeps.datasets.validate import validated
from lt_sweeps.graph import Dense, Init, Ticket, Train
from lt_sweeps.main import main
from lt_sweeps.masks import TicketTensors, dense
from lt_sweeps.measures.accuracy import evaluate
from lt_sweeps.metrics import METRICS
from lt_sweeps.networks.build import build, initial
from lt_sweeps.registry import catalogue, part
from lt_sweeps.report.curves import Row, closest, curves, sparsest_matching
from lt_sweeps.report.figures import measure_figure, result_figure
from lt_sweeps.report.markdown import summary
from lt_sweeps.report.page import render
from lt_sweeps.report.styles import styles
from lt_sweeps.specs import Data, Network, Part, Recipe
from lt_sweeps.store import schema
from lt_sweeps.tasks.task import task_of
from lt_sweeps.training.fit import Hardware, fit
from lt_sweeps.training.progress import Progress, decode_progress, encode_progress
from lt_sweeps.training.recorder import Session, state_digest

pytestmark = pytest.mark.sweeps

HERE = Path(__file__).parent
CPU = Hardware("cpu", False)
NAMES = sorted(catalogue("task"))
TOKENS, LENGTH = 5, 7


def text(data_dir: Path) -> tuple[Tensor, ...]:
    """Sequences in which 2 x + 1 follows x, modulo TOKENS; int16, so that they are no pixels."""
    first = torch.arange(200) % TOKENS
    sequences = [first]
    for _ in range(LENGTH):
        sequences.append((2 * sequences[-1] + 1) % TOKENS)
    whole = torch.stack(sequences, 1).short()
    return whole[:150, :-1], whole[:150, 1:], whole[150:, :-1], whole[150:, 1:]


def labelled(data_dir: Path) -> tuple[Tensor, ...]:
    """Points with two labels: whether each coordinate is positive."""
    x = torch.randn(300, 1, 1, 2, generator=torch.Generator().manual_seed(0))
    y = (x.flatten(1) > 0).long()
    return x[:200], y[:200], x[200:], y[200:]


class Bigram(nn.Module):
    """Logits of the next token from the last one."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.embedding, self.fc = nn.Embedding(classes, 8), nn.Linear(8, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.embedding(x))
        return logits


DATA = {
    "classification": Data(part("dataset", "digits"), 10, (1, 8, 8), validation=237),
    "one_hot": Data(part("dataset", "digits"), 10, (1, 8, 8), validation=237, task=part("task", "one_hot")),
    "regression": Data(
        part("dataset", "helix", {"train": 600, "test": 100}), 3, (1, 1, 1), 100, task=part("task", "regression")
    ),
    "next_token": Data(Part("test_tasks.text"), TOKENS, (LENGTH,), 30, task=part("task", "next_token")),
    "multi_label": Data(Part("test_tasks.labelled"), 2, (1, 1, 2), 50, task=part("task", "multi_label")),
    "dense_prediction": Data(
        part("dataset", "shapes", {"train": 200, "test": 40, "side": 16}),
        *(5, (1, 16, 16), 50),
        task=part("task", "dense_prediction"),
    ),
}


BUILT = {
    "next_token": Part("test_tasks.Bigram"),
    "dense_prediction": part("network", "unet", {"depth": 1, "channels": 4}),
}


def run_of(name: str) -> Train:
    data = DATA[name]
    network = Network(BUILT.get(name, part("network", "mlp", {"hidden": [20]})), data.shape, data.classes)
    recipe = Recipe(40, 30, OPTIMIZERS["adam"], eval_every=10)
    return Train(Ticket(network, Init(network, 0), Dense(network)), data, recipe)


def examples(name: str) -> Examples:
    return Examples(DATA[name], Path(), torch.device("cpu"))


def trained(name: str, **session: Any) -> Any:
    run = run_of(name)
    mask = half(dense(build(run.ticket.network))[0], 0)
    return fit(run, TicketTensors(initial(run.ticket.network, 0), mask), examples(name), CPU, Session(**session))


# -------------------------------------------------------------------------------------------- classification is as ever


def test_classification_is_in_no_key_and_its_settings_are() -> None:
    [plain], [named] = cells_of(), cells_of("task=classification")
    assert plain.levels[0].data.task is None
    assert plain.levels == named.levels
    assert "task" not in json.dumps(plain.levels[0].describe())
    [smoothed] = cells_of("++task.args.label_smoothing=0.1")
    [unsmoothed] = cells_of("++task.args.label_smoothing=0")
    assert smoothed.levels[0].data.task == part("task", "classification", {"label_smoothing": 0.1})
    assert len({plain.levels[0].key, smoothed.levels[0].key, unsmoothed.levels[0].key}) == 3
    assert plain.levels[0].ticket == smoothed.levels[0].ticket, "initial weights know nothing of the task"


def test_its_loss_is_cross_entropy_bit_for_bit() -> None:
    logits, classes = torch.randn(7, 4), torch.tensor([0, 1, 2, 3, 0, 1, 2])
    for reduction in ("mean", "sum"):
        ours = task_of(None).loss(logits, classes, reduction=reduction)
        assert torch.equal(ours, nn.functional.cross_entropy(logits, classes, reduction=reduction))


# ------------------------------------------------------------------------------------------------------ losses, metrics


def outputs_of(name: str) -> tuple[Tensor, Tensor]:
    """Outputs of a network that was drawn, and targets, of 12 examples."""
    data, run = examples(name), run_of(name)
    x, y = data.picked(torch.arange(12))
    return build(run.ticket.network)(x).detach(), y


@pytest.mark.parametrize("name", NAMES)
def test_the_mean_of_unequal_parts_is_their_sums_over_all_examples(name: str) -> None:
    """What several devices add up, one of which may have none of a batch."""
    loss, (outputs, y) = task_of(DATA[name].task).loss, outputs_of(name)
    parts = [loss(outputs[at], y[at], reduction="sum") for at in (slice(0, 5), slice(5, 12), slice(12, 12))]
    assert float(sum(parts)) / 12 == pytest.approx(float(loss(outputs, y)), rel=1e-6)
    assert float(parts[-1]) == 0.0


@pytest.mark.parametrize("name", NAMES)
def test_metrics_are_those_of_all_examples_however_they_are_cut(name: str) -> None:
    run, data = run_of(name), examples(name)
    network = build(run.ticket.network)
    whole = evaluate(network, data.chunks("test"), data.data.classes, data.data.task)
    cut = evaluate(network, data.chunks("test", size=17), data.data.classes, data.data.task)
    assert cut.metrics == pytest.approx(whole.metrics, rel=1e-4)
    assert set(whole.metrics) <= METRICS.keys()
    assert whole.value == whole.metrics[metrics.compared_by(whole.metrics).name]


def test_squared_error_and_r2_by_hand() -> None:
    data = examples("regression")
    network = build(run_of("regression").ticket.network)
    found = evaluate(network, data.chunks("test"), 3, data.data.task)
    x, y = data.test
    errors = (network(data.seen(x)).detach() - y).double().square()
    r2 = 1 - errors.sum(0) / (y.double() - y.double().mean(0)).square().sum(0)
    assert found.metrics["mse"] == pytest.approx(float(errors.mean()), rel=1e-5)
    assert found.loss == pytest.approx(found.metrics["mse"], rel=1e-5)
    assert found.metrics["r2"] == pytest.approx(float(r2.mean()), rel=1e-4)


def test_examples_whose_loss_is_nan_are_not_left_out_of_the_mean() -> None:
    network = nn.Linear(1, 2)
    one, classes = torch.ones(4, 1), torch.zeros(4, dtype=torch.long)
    assert math.isfinite(evaluate(network, [(one, classes)], 2).loss)
    for chunks in ([(one, classes), (one * math.inf, classes)], [(one * math.inf, classes), (one, classes)]):
        assert math.isnan(evaluate(network, chunks, 2).loss)


def test_small_losses_keep_their_digits() -> None:
    task = task_of(part("task", "regression"))
    assert task.rounded(1.23456789e-9) == 1.23457e-9
    assert METRICS["mse"].rounded(1.23456789e-9) == 1.23457e-9
    assert task_of(None).rounded(0.123456789) == 0.123457


def test_the_perplexity_is_e_to_the_loss() -> None:
    data = examples("next_token")
    found = evaluate(build(run_of("next_token").ticket.network), data.chunks("test"), TOKENS, data.data.task)
    assert found.metrics["perplexity"] == pytest.approx(math.exp(found.loss), rel=1e-4)


def test_percentages_of_records_are_the_metrics_that_are_percentages() -> None:
    assert {*schema.PERCENTAGES} == {name for name, metric in METRICS.items() if metric.percent}


# ------------------------------------------------------------------------------------------------------------- training


@pytest.mark.parametrize("name", NAMES)
def test_a_training_learns_its_task_and_resumes_to_the_same_bits(name: str) -> None:
    saved: list[bytes] = []

    def save(progress: Progress) -> None:
        saved.append(encode_progress(progress, {}))

    whole = trained(name, checkpoint=save, wait=lambda cost: 0.0)
    first, *_, last = whole.progress.history
    assert last["val_loss"] < 0.95 * first["val_loss"]
    best = min(whole.progress.history, key=lambda row: row["val_loss"])
    assert (whole.progress.best.step, whole.progress.best.val_loss) == (best["step"], best["val_loss"])
    assert whole.progress.best.val == metrics.values_of(best, "val")
    assert len(saved) == 2
    for content in saved:
        resumed = trained(name, progress=decode_progress(content)[0])
        assert state_digest(trained_state(resumed)) == state_digest(trained_state(whole))
        assert resumed.progress.history == whole.progress.history
        assert (resumed.end, resumed.early_stop, resumed.progress.best) == (
            whole.end,
            whole.early_stop,
            whole.progress.best,
        )


def test_a_gradient_step_is_of_the_task_s_loss() -> None:
    """One step of plain SGD with rate 1 on all examples: the difference is the gradient of the mean squared error."""
    run, data = run_of("regression"), examples("regression")
    count = len(data.train[0])
    recipe = Recipe(1, count, Part("torch.optim.SGD", args={"lr": 1.0}), eval_every=1)
    start, mask = initial(run.ticket.network, 0), dense(build(run.ticket.network))[0]
    after = trained_state(fit(replace(run, recipe=recipe), TicketTensors(start, mask), data, CPU, Session()))
    network = build(run.ticket.network)
    network.load_state_dict(start)
    x, y = data.picked(torch.arange(count))
    (network(x) - y).square().mean().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None
        torch.testing.assert_close(start[name] - after[name], weight.grad, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------------------------------------- criteria


def probe(task: str | None, y: Tensor) -> Probe:
    """A linear network of one output, at weights 1 and 2, and two unit vectors."""
    weight = torch.tensor([[1.0, 2.0]])
    return Probe(
        weights={"weight": weight},
        unmasked={"weight": weight},
        mask={"weight": torch.ones_like(weight, dtype=torch.bool)},
        ref=None,
        generator=torch.Generator().manual_seed(0),
        make_network=lambda: nn.Linear(2, 1, bias=False),
        make_source=lambda: HeldExamples(torch.eye(2), y),
        shape=(2,),
        task=None if task is None else part("task", task),
    )


def test_snip_and_grasp_have_the_gradient_of_the_task_s_loss() -> None:
    """L = ((w1 - 0)^2 + (w2 - 1)^2) / 2: the gradient is (1, 1), and the Hessian the identity."""
    asked = probe("regression", torch.tensor([[0.0], [1.0]]))
    assert snip(asked, examples=2)["weight"].tolist() == [[1.0, 2.0]]
    assert grasp(asked, per_class=2)["weight"].tolist() == [[1.0, 2.0]]


# --------------------------------------------------------------------------------------------------- sweeps, end to end


def sweep(folder: Path, *words: str) -> list[dict[str, str]]:
    assert main(["-m", *words, "sweep=s", f"paths.output_dir={folder}"]) == 0
    return list(csv.DictReader((folder / "s" / "results.csv").read_text().splitlines()))


SMALL = ("model=mlp", "model.args.hidden=[20]", "recipe=planted", "recipe.steps=40it", "recipe.eval_every=10it")


def test_a_sweep_of_regression_is_told_in_its_metric_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("dataset=helix", "prune=imp,at_init", "criterion=snip,magnitude", "prune.levels=1", "measure=barrier")
    rows = sweep(tmp_path, *SMALL, *words, "seed=0,1", "logger=csv")
    printed = capsys.readouterr().out
    assert "test mean squared error" in printed
    assert "%  test" not in printed.replace("% of weights  test", "")
    for row in rows:
        assert (row["task"], row["status"], row["test_accuracy"], row["early_stop_test_accuracy"]) == (
            "regression",
            "done",
            "",
            "",
        )
        assert float(row["test_mse"]) > 0
        assert float(row["early_stop_test_mse"]) > 0
        assert float(row["test_r2"]) < 1
    folder = tmp_path / "s"
    assert "test mean squared error at early stop, mean ± s.d." in (folder / "summary.md").read_text()
    page = (folder / "report.html").read_text()
    assert "Lower is better" in page
    assert "within 5 % of its value" in page
    assert "Test accuracy" not in page
    opened = lt.open(folder)
    run = opened.runs(level=1, seed=0, prune="imp", criterion="snip")[0]
    assert run.evaluate().metrics["mse"] == run.row["test_mse"]
    assert {"mse", "deviation", "minus_dense"} <= {*opened.curve().columns}
    logged = "".join(path.read_text() for path in folder.glob("csv/**/metrics.csv"))
    assert "level/test_mse" in logged
    assert "val/mse" in logged
    assert "accuracy" not in logged
    assert cli(["best", str(folder)]) == 0
    assert "test mean squared error at the end, mean ± s.d. | most" in capsys.readouterr().out
    assert cli(["compare", str(folder), "criterion=snip"]) == 0
    assert "test mean squared error at the step of least validation loss" in capsys.readouterr().out


def test_a_ticket_of_regression_is_exported_verified_and_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = sweep(tmp_path, *SMALL, "dataset=relu", "prune.levels=1")
    for flag, said in ((["--trained"], "test mean squared error"), ([], "promises test mse")):
        folder = tmp_path / f"ticket{len(flag)}"
        assert cli(["ticket", "export", str(tmp_path / "s"), "level=1", *flag, "--to", str(folder)]) == 0
        assert cli(["ticket", "verify", str(folder)]) == 0
        assert said in capsys.readouterr().out
    assert cli(["ticket", "train", str(tmp_path / "ticket0"), "--runs", str(tmp_path / "again")]) == 0
    assert f"test mse: {float(rows[1]['test_mse']):g}, promised {float(rows[1]['test_mse']):g} (+0)" in (
        capsys.readouterr().out
    )


def test_squared_error_to_one_hot_targets_trains_a_data_set_of_classes(tmp_path: Path) -> None:
    rows = sweep(tmp_path, "task=classification,one_hot", "prune.levels=1", "budget=smoke")
    assert [row["task"] for row in rows] == ["classification"] * 2 + ["one_hot"] * 2
    assert len({row["key"] for row in rows}) == 4
    assert all(float(row["test_accuracy"]) > 0 and "test_mse" not in row for row in rows)


def test_tokens_are_learnt_by_a_network_of_one_s_own(tmp_path: Path) -> None:
    words = ("dataset=custom", "dataset._target_=test_tasks.text", "model=custom", "model._target_=test_tasks.Bigram")
    recipe = ("recipe=planted", "recipe.steps=60it", "recipe.batch_size=30", "recipe.validation=30")
    rows = sweep(tmp_path, *words, *recipe, "task=next_token", "prune.rate=0.3", "prune.levels=1", "criterion=snip")
    assert [row["status"] for row in rows] == ["done", "done"]
    assert 1 <= float(rows[0]["test_perplexity"]) < TOKENS
    assert 0 < float(rows[0]["test_token_accuracy"]) <= 100


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("dataset=helix", "task=classification"), "train_y is [9000, 3], one-hot or several labels"),
        (("dataset=digits", "task=regression"), "regression takes floats: train_y.float(), or task=one_hot of classes"),
        (("dataset=helix", "dataset.classes=2"), "dataset.classes=2, but a target has 3 numbers"),
        (("dataset=helix", "corruption=label_flip"), "changes classes, and the task has other targets"),
        (("dataset=digits", "task=multi_label"), "return (N, labels), zeros and ones for each example"),
        (("dataset=helix", "task=next_token"), "the network gives [4, 3], and the task takes (N, T, tokens)"),
        (("dataset=helix", "measure=churn"), "measure of churn: needs one class per example, and task=regression"),
        (("task.name=regresion",), "there is no task 'regresion'; did you mean 'regression'?"),
        (("task=regression", "+task.args.margin=1"), "task regression takes no argument 'margin'"),
        (("dataset=digits", "task.args.label_smoothing=2"), "task.args.label_smoothing=2: must be in [0, 1)"),
        (("dataset=digits", "dataset.classes=1"), "dataset.classes=1: give 2 or more, or task=regression"),
    ],
)
def test_a_mistake_is_told_before_anything_is_trained(
    words: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SMALL, "prune.levels=1", *words, f"paths.output_dir={tmp_path}"]) != 0
    printed = capsys.readouterr()
    assert said in printed.err + printed.out
    assert not list((tmp_path / "store").glob("record/*/*"))


@pytest.mark.parametrize(
    ("targets", "y", "said"),
    [
        ("classes", torch.rand(4), "train_y is float32: return integers, train_y.long(), or choose task=regression"),
        ("numbers", torch.full((4, 1), math.nan), "train_y holds nan or infinite values"),
        ("numbers", torch.rand(4, 2, 2), "return (N, outputs)"),
        ("flags", torch.full((4, 2), 2.0), "holds values other than 0 and 1"),
        ("tokens", torch.full((4, 2), -1), "holds the token -1: count tokens from 0"),
        ("classes", torch.zeros(4, 2, 2).long(), "a class for each place: choose task=dense_prediction"),
        ("maps", torch.zeros(4).long(), "return integers (N, H, W), the class of each place"),
        ("maps", torch.zeros(4, 2, 2), "of float32: return integers (N, H, W)"),
        ("maps", torch.zeros(4, 2, 2).long(), "return images (N, C, H, W) and maps (N, H, W) of one size"),
    ],
)
def test_targets_of_a_wrong_form_are_refused_with_the_fix(targets: Any, y: Tensor, said: str) -> None:
    x = torch.rand(4, 2)
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        validated((x, y, x, y), targets)
    assert said in str(refused.value)


# ------------------------------------------------------------------------------------------- lower is better in reports


def row(level: int, seed: int, mse: float) -> Row:
    """A row of results.csv."""
    labels = {"model": "m", "dataset": "d", "control": "none", "task": "regression"}
    result = {"early_stop_test_mse": mse, "test_mse": mse, "early_stop_step": 10, "status": "done"}
    return {
        **labels,
        "seed": seed,
        "level": level,
        "weights_remaining": 100.0 / 2**level,
        "key": f"{level}{seed}",
        **result,
    }


def table(*levels: tuple[float, float, float]) -> list[Row]:
    return [row(level, seed, value) for level, values in enumerate(levels) for seed, value in enumerate(values)]


def test_a_level_with_less_error_matches_and_one_with_more_does_not() -> None:
    """Dense networks have 0.100 on average, so that 0.005 may be lost."""
    [curve] = curves(table((0.1, 0.1, 0.1), (0.09, 0.08, 0.085), (0.103, 0.1031, 0.1032), (0.107, 0.1071, 0.1072)))
    assert curve.metric is METRICS["mse"]
    assert [point.matching for point in curve.pruned] == [True, True, False]
    best = sparsest_matching(curve)
    assert best is not None
    assert best.level == 2
    [worse] = curves(table((0.1, 0.1, 0.1), (0.2, 0.21, 0.22), (0.15, 0.16, 0.17)))
    near = closest(worse)
    assert near is not None
    assert near.level == 2


def test_tables_say_which_metric_and_count_lower_as_better() -> None:
    rows = table((0.1, 0.1, 0.1), (0.09, 0.08, 0.11))
    markdown = summary(rows, [], "", [], None)
    assert (
        "| test mean squared error at early stop, mean ± s.d. | minus dense, 95 % interval | below dense |" in markdown
    )
    assert "2 of 3" in markdown
    assert "0.09333 ± 0.01528" in markdown
    assert "points" not in markdown
    page = render(rows, title="t", sweep="s", budgets=[], command=None)
    assert "Mean squared error</h3>" in page
    assert "upper end of the 95 % interval" in page
    [curve] = curves(rows)
    figure = result_figure([curve], styles([curve]))
    assert figure["layout"]["yaxis"]["title"]["text"] == "Test mean squared error at early stop"
    low, high = figure["layout"]["yaxis"]["range"]
    assert low <= 0.09 < 0.1 <= high < 1


def test_metrics_of_one_model_and_data_set_have_figures_of_their_own() -> None:
    other = [
        {**one, "task": "one_hot", "test_accuracy": 90.0, "early_stop_test_accuracy": 91.0}
        for one in table((1.0, 1.0, 1.0))
    ]
    other = [{name: value for name, value in one.items() if not name.endswith("_mse")} for one in other]
    page = render([*table((0.1, 0.1, 0.1)), *other], title="t", sweep="s", budgets=[], command=None)
    assert 'id="mse-1"' in page
    assert 'id="accuracy-2"' in page


def test_every_metric_has_its_columns_and_task_is_a_label() -> None:
    assert BESIDE["task"] == "classification"
    for name in METRICS:
        assert {f"test_{name}", f"val_{name}", f"early_stop_test_{name}", f"found_{name}"} <= COLUMNS.keys()
    found = [{**one, "found_mse": 0.3} for one in table((0.1, 0.1, 0.1), (0.2, 0.2, 0.2))]
    [curve] = curves(found)
    figure = measure_figure([curve], styles([curve]), "found_mse")
    assert figure is not None
    assert figure["layout"]["yaxis"]["title"]["text"] == "Test mean squared error as found"
