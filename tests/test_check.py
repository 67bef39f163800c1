"""`lt-sweeps check`: each law can fail, by somebody's function that breaks it and no other; what is right passes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import broken
import pytest

from lt_sweeps.check import criteria, datasets, trainings
from lt_sweeps.check.functions import LAWS
from lt_sweeps.check.laws import Broken, Outcome, run_laws
from lt_sweeps.cli import main

STAGES = {
    **{kind: stages for kind, (stages, _) in LAWS.items()},
    "network": trainings.STAGES,
    "dataset": datasets.STAGES,
}
SMALL = "--shape 1 6 6 --classes 3"
# What is checked, the law that fails, and words of what is told about it.
EXAMPLES = "it gives examples and classes"
BREAKS = [
    ("wrong_shape", "it scores every prunable weight", "is [4, 1, 3, 3], its scores are [4]"),
    ("unscored", "it scores every prunable weight", "0.weight has no score"),
    ("raises", "it scores every prunable weight", "it raised KeyError: 'fc3.weight' (broken.py:"),
    ("not_a_number", "every score is a number", "kept weights are nan or inf"),
    ("unseeded", "the same seed gives the same scores", "generator=probe.generator"),
    ("reads_pruned", "pruned weights change no score", "kept places only"),
    ("mutates", "what it is given stays as it was", "probe.weights['0.weight']"),
    ("seeds_globally", "global state stays as it was", "torch's global generator"),
    ("stops_gradients", "global state stays as it was", "whether torch records gradients"),
    ("by_order", "the order of names changes nothing", "sorted(probe.mask)"),
    ("unrankable", "a selection keeps exactly what is asked", "torch.bool cannot be ranked"),
    ("drops_names", "every tensor keeps its shape", "return all names of ref"),
    ("treats_unseeded", "the same generator gives the same weights", "draw with the generator"),
    ("treats_in_place", "what it is given stays as it was", "ref['0.weight']"),
    ("treats_globally", "global state stays as it was", "python's global generator"),
    ("treats_biases", "only kept weights are treated", "kept places only"),
    ("forgets_a_layer", "every layer has a density", "is in only one of shapes and what it returns"),
    ("more_than_all", "every layer has a density", "fc1.weight gets 2.0 at density 1: give a number from 0 to 1"),
    ("refuses_all", "every layer has a density", "it refuses all densities: not today"),
    ("shares_at_random", "asked again it gives the same", "an allocation draws nothing"),
    ("shares_nothing", "counts are exact", "cannot keep 266200 weights of 266200"),
    ("shares_in_place", "it changes nothing it is given", "work on a copy"),
    ("numbers_of_floats --unit", "every weight has a number", "it returns float32 [10, 7]: return int64 of that shape"),
    ("numbers_from_one --unit", "every weight has a number", "no weight has the number 0: number units from 0"),
    ("units_at_random --unit", "asked again it gives the same", "a unit draws nothing"),
    ("units_globally --unit", "it changes nothing", "python's global generator"),
    ("keeps_the_end --pruned", "pruned places hold zero or what they began with", "neither zero nor its value in ref"),
    ("unnamed", "it sums itself up in a number", "it returns no number 'unnamed'"),
    ("gives_tensors", "it sums itself up in a number", "it returns no number 'gives_tensors'"),
    ("uneven", "it sums itself up in a number", "one and two differ in length"),
    ("density", "it sums itself up in a number", "density is a column already"),
    ("guesses", "asked again it finds the same", "with a fixed seed"),
    ("scales", "what it is given stays as it was", "weights[0]['0.weight']"),
    ("measures_seeded", "global state stays as it was", "torch's global generator"),
    ("begins_with_nothing", "it begins with parameters to train", "begin returns no parameters"),
    ("soft_mask", "the mask that is kept is of zeros and ones", "round it"),
    ("begins_unseeded", "the same generator gives the same mask", "draw with the generator it is given"),
    ("gate_in_place", "what a gate is given stays as it was", "weights['0.weight']"),
    ("no_gradient", "pruned places are zero and gradients reach the parameters", "use straight_through"),
    ("expands_elsewhere", "an expansion is around what it begins with", "begins elsewhere than at the start weights"),
    ("remembers_outside", "an interrupted training ends in the same bits", "outside of parameters and memory"),
    ("hook_of_floats", "its mask has the shapes it was given", "no bool tensor 0.weight"),
    ("hook_unseeded", "the same moment gives the same change", "draw with the moment's generator"),
    ("half_a_pixel", "every pixel has a source", "rows are not int64"),
    ("moves_unseeded", "the same generator gives the same moves", "draw with the generator"),
    ("moves_too_far", "sources lie within the margin", "cols come from 5 to 13"),
    ("moves_in_place", "what it is given stays as it was", "its arguments['rows']"),
    ("moves_globally", "global state stays as it was", "torch's global generator"),
    ("NeedsWidth", "it can be built and pruned", "'width': give what it needs by --args"),
    ("NothingToPrune", "it can be built and pruned", "nothing to prune"),
    ("Views", "no prunable memory is shared", "fc.weight and output.weight lie in one memory"),
    ("TwoOutputs", "it gives a logit for each class", "the network returns a tuple: return the logits alone"),
    ("Big", "it gives a logit for each class", "it takes 40x40"),
    ("DrawsElsewhere", "a draw is a function of the seed", "fc.weight differs for the same seed"),
    ("SeedsItself", "a draw is a function of the seed", "the same for every seed"),
    ("NotInTheStateDict", "the state dict is all there is", "persistent buffer"),
    ("Unused", "every prunable weight gets a gradient", "spare.weight: the loss does not depend on it"),
    ("OfTheBatch", "an evaluation sees one example at a time", "in a batch of one"),
    ("AlwaysDropout", "an evaluation sees one example at a time", "is dropout on"),
    ("WritesItsWeights", "pruned weights stay pruned", "pruned weights of fc.weight moved"),
    ("Diverges", "pruned weights stay pruned", "the loss is not finite at step"),
    ("CountsInItsClass", "a rewound training repeats itself", "keep no state in a class"),
    ("DrawsWithNumpy", "a rewound training repeats itself", "torch's, numpy's or Python's global generator"),
    ("CountsInItself", "a resumed training equals an uninterrupted one", "interrupted at step 16"),
    ("carries_too_little", "every tensor comes from somewhere", "there is nothing that fc1.weight comes from"),
    ("carries_at_random", "the same generator gives the same places", "fc1.weight comes from elsewhere"),
    ("permutes_alone", "a permutation computes the same", "permute each unit in all tensors that it is in"),
    ("with_nan", EXAMPLES, "train_x holds nan or infinite values in 1 of 200 examples: remove or fill them"),
    ("one_type_each", EXAMPLES, "train_x is float32, test_x uint8: return both of one type"),
    ("without_examples", EXAMPLES, "test has 0 examples and 0 labels"),
    ("one_number_each", EXAMPLES, "train_x is [200]: return (N, ...), an example in each row"),
    ("names_of_classes", EXAMPLES, "test_y is an array of <U3: return numbers"),
    ("negative_labels", EXAMPLES, "train_y holds the label -1: count classes from 0"),
    ("one_hot_labels", EXAMPLES, "train_y is [200, 3], one-hot or several labels: return (N,), train_y.argmax(1)"),
    ("column_of_labels", EXAMPLES, "test_y is [40, 1]: return (N,), test_y.flatten()"),
    ("float_labels", EXAMPLES, "test_y is float32: return integers, test_y.long()"),
    ("a_list", EXAMPLES, "it returns a list: return Arrays(train_x, train_y, test_x, test_y)"),
    ("too_few_classes", EXAMPLES, "train has 200 examples and 199 labels"),
    ("class_out_of_range", "classes are counted from zero", "test_y, 14 of 40 lie outside 0 to 2"),
    ("class_missing --classes 3", "every class can be learnt", "no example of class 2"),
    ("good_data --shape 1 7 7", "sizes are as declared", "shape is declared as [1, 7, 7] and is [1, 6, 6]"),
    ("changes", "a reading gives the same again", "train_x differs between two readings"),
    ("test_in_train", "the test is not trained on", "40 of 40 test images"),
    ("trembling", "a split parts the training examples", "the parts are not the whole"),
    ("shivering", "a batch is a function of the step", "from step 1 on"),
]
GOOD = [
    "broken.good_score",
    "broken.good_shares",
    "broken.good_unit --unit",
    "broken.good_treatment",
    "broken.good_fill --pruned",
    "broken.good_measure",
    "broken.good_move",
    "broken.good_gate",
    "broken.good_hook",
    "broken.good_transfer",
    f"broken.GoodNet {SMALL}",
    f"{SMALL} broken.GoodNet",
    "broken.good_data --classes 3",
    "broken.float_images --classes 3",
    "broken.numpy_data --classes 3",
    "broken.short_labels --classes 3",
]


def check(words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, list[str]], str]:
    """The exit code, the lines of each verdict, and the summary."""
    code = main(["check", *words.split()])
    lines = capsys.readouterr().out.splitlines()
    told: dict[str, list[str]] = {}
    for line in lines[1:-1]:
        verdict, law = line[2:10].strip(), line[10:]
        told.setdefault(verdict, []).append(law)
    return code, told, lines[-1]


@pytest.mark.parametrize(("what", "law", "words"), BREAKS, ids=[what for what, _, _ in BREAKS])
def test_a_broken_law_is_named_and_no_other(
    what: str, law: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    size = SMALL if what[0].isupper() and what != "Big" else ""
    code, told, summary = check(f"broken.{what} {size}", capsys)
    assert [line.partition(":")[0] for line in told["FAILED"]] == [law]
    assert words in told["FAILED"][0]
    assert code == 1
    assert "1 FAILED" in summary


def test_every_law_has_somebody_who_breaks_it() -> None:
    laws = {law.__name__.replace("_", " ") for stages in STAGES.values() for stage in stages for law in stage}
    beside = {"it needs what it declares"}  # below: what is named by path declares everything
    beside |= {"masks count what they carry"}  # which is ours to keep: a transfer says places alone
    beside |= {"what is kept is kept whole"}  # ours too: a unit numbers weights alone
    beside |= {"every layer can be pruned", "densities keep what is asked"}  # which are warnings
    assert {law for _, law, _ in BREAKS} == laws - beside


@pytest.mark.parametrize("need", ["ref", "data", "seed"])
def test_what_is_needed_and_not_declared_is_named(need: str) -> None:
    function = getattr(broken, f"needs_{need}")
    failed = [o for o in run_laws(criteria.STAGES, criteria.Criterion(function, ())) if o.verdict == "FAILED"]
    assert [o.law for o in failed] == ["it needs what it declares"]
    assert f"needs=({need!r},)" in failed[0].finding
    assert {o.verdict for o in run_laws(criteria.STAGES, criteria.Criterion(function, (need,)))} == {"ok"}


@pytest.mark.parametrize("what", GOOD)
def test_what_is_right_passes(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, told, summary = check(what, capsys)
    assert code == 0
    assert set(told) == {"ok"}
    assert summary == f"{len(told['ok'])} laws: {len(told['ok'])} ok"


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (f"Dead {SMALL}", "every prunable weight gets a gradient: branch.weight: the gradient is all zero"),
        (f"Parametrized {SMALL}", "every layer can be pruned: fc.weight: never pruned, because it is made of others"),
        (f"Tied {SMALL}", "every layer can be pruned: output.weight, again.weight: never pruned, because it is shared"),
        (
            "shares_half",
            "densities keep what is asked: at density 1 they keep 50 % of what is asked: counts are scaled",
        ),
        ("one_test_image_in_train", "the test is not trained on: 1 of 40 test images"),
    ],
)
def test_what_somebody_should_look_at_is_a_warning(what: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, told, _ = check(f"broken.{what}", capsys)
    assert code == 0
    assert "FAILED" not in told
    assert told["warning"][0].startswith(words)


def test_what_relies_on_a_broken_law_is_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    _, told, summary = check("broken.wrong_shape", capsys)
    assert len(told["skipped"]) == 8
    assert summary == "9 laws: 1 FAILED, 8 skipped; skipped are those that rely on a failed one"


def test_arguments_shape_and_classes_reach_the_network(capsys: pytest.CaptureFixture[str]) -> None:
    _, told, _ = check("broken.GoodNet --args width=2 --shape 1 6 6 --classes 3", capsys)
    assert "conv.weight 2x1x3x3" in told["ok"][0]
    assert "output.weight 3x10" in told["ok"][0]


def test_registered_names_are_found_in_their_kind(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("magnitude", "shuffle", "flip", "digits"):
        assert check(name, capsys)[0] == 0


def test_a_flag_says_what_no_signature_does(capsys: pytest.CaptureFixture[str]) -> None:
    _, told, _ = check("broken.mystery --criterion", capsys)
    assert told["FAILED"][0].startswith("it scores every prunable weight: it returns a Probe")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            "broken.mystery",
            r"has no parameter or annotation that identifies its kind: say which with one of --network, --crit",
        ),
        ("broken.NUMBER", r"broken.NUMBER is a int, neither a function nor a class"),
        ("broken.good_scor", r"'good_scor' is not in broken.py; did you mean 'good_score'\?"),
        ("no_such_module.Net", r"no module 'no_such_module' can be found"),
        ("magnitud", r"there is no function or class 'magnitud'; did you mean 'magnitude'\?"),
        ("magnitude --network", r"magnitude is a criterion, not a network: leave out --network"),
        (
            "imp",
            r"imp is a method: laws are known for network, criterion, allocation, unit, survivors, pruned, gate, hook",
        ),
        ("", r"check: the following arguments are required: name"),
        ("magnitude --shap 3 2", r"check: --shape 3 2: give channels, height and width, 1 at least, or the length"),
        ("broken.GoodNet --shape 0 8 8", r"check: --shape 0 8 8: give channels, height and width, 1 at least"),
        ("magnitude --nothing", r"check: unrecognized arguments: --nothing"),
        ("magnitude --network --dataset", r"not allowed with argument"),
        ("broken.GoodNet --args width", r"--args width: write key=value"),
        ("broken.GoodNet --classes 1", r"--classes 1: give two at least"),
        ("broken.GoodNet --shape 3 32 x", r"invalid int value: 'x'"),
        ("mnist --data-dir nowhere", r"dataset=mnist: .* is not under paths.data_dir=nowhere"),
    ],
)
def test_a_mistake_is_one_line(
    words: str, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lt_sweeps.config.datafiles._reachable", lambda host: False)
    assert main(["check", *words.split()]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(f"lt_sweeps: .*{line}.*\n", err), err


def test_a_module_that_cannot_be_imported_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "of_a_checked_user.py").write_text("import not_installed_anywhere\nclass Net: ...\n")
    assert main(["check", "of_a_checked_user.Net"]) == 2
    assert "of_a_checked_user.Net cannot be imported: ModuleNotFoundError" in capsys.readouterr().err


def test_mistakes_are_told_before_torch_is_imported() -> None:
    code = "import sys; from lt_sweeps.cli import main; code = main(sys.argv[1:]); assert 'torch' not in sys.modules"
    for words in ("magnitud", "magnitude --nothing", "mnist --classes 1"):
        done = subprocess.run([sys.executable, "-c", code, "check", *words.split()], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_colour_is_for_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "flip"]) == 0
    assert "\033" not in capsys.readouterr().out
    monkeypatch.setattr("lt_sweeps.output.Unbreakable.isatty", lambda self: True)
    assert main(["check", "flip"]) == 0
    assert "\033[32mok" in capsys.readouterr().out


def test_a_law_that_raises_is_told_with_its_place() -> None:
    def always(subject: int) -> str:
        raise Broken("in the one place where it can be mended")

    def never(subject: int) -> str:
        return broken.mystery(subject, 1)  # type: ignore[call-arg]

    first, second, third = run_laws(((always, never), (always,)), 0)
    assert first == Outcome("always", "FAILED", "in the one place where it can be mended")
    reason = "it raised TypeError: mystery() takes 1 positional argument but 2 were given"
    assert second.finding.startswith(f"{reason} (test_")
    assert third == Outcome("always", "skipped")
