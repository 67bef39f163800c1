"""A mistake is answered in one line, before any job starts and before torch is imported: what, where, nearest valid.

Every line of the table is run in an empty folder by a process of its own, a fork of one that has imported the command;
some are run as a user runs them.
"""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.sweeps

ROOT = Path(__file__).parent.parent
BETWEEN = "must be between 0 and 1, both excluded"
NO_DATA = "dataset=mnist recipe=lenet_mnist dataset.host=null paths.data_dir=nowhere"

# A command line, and what its answer must say.
MISTAKES: list[tuple[str, tuple[str, ...]]] = [
    ("seed=0,1", ("Ambiguous value", "put -m before it")),
    ("prune.factors={}", ("prune.factors={}", "mappings are merged")),
    ("survivors=reinit control=reinit", ("control=reinit", "equals the ticket")),
    ("survivors=keep control=random", ("control=random", "its own mask only")),
    ("rewind.batchnorm=keep control=reinit", ("control=reinit", "batch normalisation too")),
    ("+pruned.args.size=1", ("pruned zero takes no argument 'size'",)),
    ("survivors.args.level=1", ("survivors rewind takes no argument 'level'",)),
    ("control=density_scaled control.args.scope=units", ("scope=units: choose one of unit, layer, global",)),
    ("criterion.args.probe=1", ("criterion magnitude takes no argument 'probe'",)),
    ("model.args.shape=1", ("network lenet_300_100 takes no argument 'shape'",)),
    ("pruned.name=shuffle", ("pruned.name=shuffle", "zero", "freeze")),
    ("-m --cfg job", ("--cfg", "leave out -m")),
    (
        "-m seed=0,1 seeds.init=0 seeds.order=0 seeds.augment=0 seeds.score=0 seeds.treat=0 seeds.ties=0",
        ("seed=0 and seed=1 are the same trainings",),
    ),
    # names of keys
    ("nonsense=1", ("unknown key 'nonsense'",)),
    ("+nonsense=1", ("unknown key 'nonsense'",)),
    ("+prune.nonsense=1", ("unknown key 'prune.nonsense'",)),
    ("prune.rat=0.5", ("unknown key 'prune.rat'", "did you mean 'prune.rate'?")),
    ("+prune.rat=0.5", ("unknown key 'prune.rat'", "did you mean 'prune.rate'?")),
    ("++seeds.oder=1", ("unknown key 'seeds.oder'", "did you mean 'seeds.order'?")),
    ("~prune", ("prune.name",)),
    ("--foo", ("--foo",)),
    ("prune.rate", ("prune.rate",)),
    ("'prune.factors={output.weight:0.5'", ("prune.factors={output.weight:0.5",)),
    # types and ranges of values
    ("prune.rate=high", ("prune.rate", "'high'", "Float")),
    ("seed=1.5", ("seed", "'1.5'", "Integer")),
    ("prune.rate=null", ("prune.rate", "Optional")),
    ("seed=99999999999999999999999", ("seed=99999999999999999999999", "must be between")),
    ("seeds.order=-9223372036854775809", ("seeds.order=-9223372036854775809", "must be between")),
    ("trainer.kernel=grph", ("trainer.kernel=grph", "did you mean 'graph'?")),
    ("prune.rate=nan", ("prune.rate=nan", "must be a finite number")),
    ("recipe.clip_norm=inf", ("recipe.clip_norm=inf", "must be a finite number")),
    ("recipe.optimizer.args.lr=nan", ("recipe.optimizer.args.lr=nan", "must be a finite number")),
    ("prune.rate=0", ("prune.rate=0", BETWEEN)),
    ("prune.rate=1", ("prune.rate=1", BETWEEN)),
    ("prune.levels=-1", ("prune.levels=-1", "must be between 0 and 1000")),
    ("recipe.batch_size=0", ("recipe.batch_size=0", "must be at least 1")),
    ("recipe.steps=0it", ("recipe.steps=0it", "at least one iteration")),
    ("++prune.factors={fc1.weight:9}", ("prune.factors", "fc1.weight", "=9")),
    ("prune.rate=0.2,0.5", ("prune.rate=0.2,0.5",)),
    # points on the clock
    ("rewind=step rewind.step=900it", ("rewind.step=900it", "ends at 800")),
    ("rewind=step rewind.step=799it budget=smoke", ("rewind.step=799it", "ends at 8", "budget=smoke")),
    ("rewind=step rewind.step=soon", ("rewind.step=soon", "'500it'", "'2ep'")),
    # names of options
    ("model=vgg166", ("model=vgg166", "lenet_digits", "did you mean 'vgg16'?")),
    ("dataset=mnst", ("dataset=mnst", "digits", "did you mean 'mnist'?")),
    ("budget=smok", ("budget=smok", "paper", "did you mean 'smoke'?")),
    ("control=reinitt", ("control=reinitt", "mask_shuffle", "did you mean 'reinit'?")),
    ("experiment=demoo", ("experiment=demoo", "did you mean 'demo'?")),
    ("-m hydra/launcher=lt_sweep", ("hydra/launcher=lt_sweep", "did you mean 'lt_sweeps'?")),
    ("hydra/launcher=ray", ("hydra/launcher=ray", "put -m before it")),
    ("trainer.processes=-1", ("trainer.processes=-1", "must be between 0 and 1024")),
    ("trainer.processes=0 trainer.devices=2", ("trainer.processes=0", "trainer.devices=2 needs processes of its own")),
    ("recipe.batchnorm_groups=3", ("recipe.batchnorm_groups=3",)),
    ("recipe.precision=16", ("recipe.precision=16", "bf16-mixed")),
    ("prune.groups=layers", ("prune.groups=layers", "did you mean 'layerwise'?")),
    ("survivors.name=rewnd", ("rewnd", "did you mean 'rewind'?")),
    ("criterion.name=magnitud", ("criterion", "magnitud", "did you mean 'magnitude'?")),
    ("find.seeds.init=99999999999999999999", ("find.seeds.init=99999999999999999999", "between -9.22337e+18")),
    ("seed=18446744073709551615 find.seeds.offset=1", ("find.seeds.offset=1", "seeds.init")),
    ("recipe.augment=[{name:3}]", ("recipe.augment", "{'name': 3}", "is neither a name nor")),
    ("recipe.augment=[{name:flip,args:[1]}]", ("recipe.augment", "[1]", "is neither a name nor")),
    ("recipe.augment=[flop]", ("augmentation", "'flop'", "did you mean 'flip'?")),
    ("corruption=label_flop", ("corruption=label_flop", "did you mean 'label_flip'?")),
    ("corruption=label_flip corruption.args.fraction=2", ("corruption.args.fraction=2", "between 0 and 1")),
    # import paths
    ("model=custom", ("model=custom", "model._target_")),
    ("model=custom model._target_=os.system", ("os.system is Python's own", "returns a torch.nn.Module")),
    ("model=custom model._target_=subprocess.run", ("subprocess.run is Python's own",)),
    ("criterion.name=os.system", ("os.system is Python's own",)),
    (
        "recipe.validation=0 recipe.schedule._target_=torch.optim.lr_scheduler.ReduceLROnPlateau",
        ("follows the validation loss",),
    ),
    ("model=custom model._target_=no_such.Net", ("'no_such.Net'", "no module 'no_such'")),
    ("model=custom model._target_=torchvision.models.resnet81", ("'torchvision.models.resnet81'", "'resnet18'")),
    ("recipe.optimizer._target_=torch.optim.Adm", ("optimizer", "'torch.optim.Adm'", "did you mean 'Adam'?")),
    ("recipe.schedule._target_=torch.optim.lr_scheduler.StepLRR", ("schedule", "did you mean 'StepLR'?")),
    ("recipe.schedule={_target_:torch.optim.lr_scheduler.StepLRR}", ("schedule", "did you mean 'StepLR'?")),
    # arguments of what is registered
    ("model=conv2 +model.args.widht=2", ("network conv2", "'widht'", "did you mean 'width'?")),
    ("measure=barrier measure.sibling.args.points=many", ("measure barrier: points=many: give a whole number",)),
    ("measure=barrier measure.sibling.args.points=2.5", ("measure barrier: points=2.5: give a whole number",)),
    ("measure=barrier measure.sibling.args.batchnorm=1", ("measure barrier: batchnorm=1: give a text",)),
    ("model=resnet20 +model.args.width=[2]", ("network resnet20: width=[2]: give a number",)),
    ("model=resnet20 +model.args.hidden=2", ("network resnet20", "takes no argument 'hidden'")),
    ("+model.initialiser_args.width=2", ("initialiser glorot_normal", "takes no argument 'width'")),
    ("model=vgg11 model.width=0", ("model.width=0", "must be at least 1e-06")),
    # what does not go together
    (NO_DATA, ("dataset=mnist", "train-images-idx3-ubyte", "paths.data_dir=nowhere", "LT_SWEEPS_DATA")),
    ("dataset=imagenet paths.data_dir=nowhere", ("dataset=imagenet", "imagenet/train", "LT_SWEEPS_DATA")),
    ("dataset=image_folder", ("dataset.args.folder", "no value until you give it one")),
    ("recipe.augment=[random_resized_crop]", ("recipe.augment", "image files", "dataset=digits")),
    ("model=vgg16 dataset=digits recipe=lenet_digits", ("model=vgg16", "16x16", "dataset=digits", "8x8")),
    ("recipe=vgg16_cifar10", ("recipe.mean", "recipe=vgg16_cifar10 is for 3 channels", "dataset=digits has 1")),
    ("budget=[smoke,quick]", ("budget=[smoke,quick]", "choose one option", "-m budget=a,b")),
    ("corruption=half +corruption.fraction=0.3", ("'corruption.fraction'", "given as 'corruption.args.fraction'")),
    ("rewind=finetune survivors=rewind", ("rewind=finetune", "survivors=rewind", "must be keep")),
    ("rewind.batchnorm=keep survivors=reinit", ("rewind.batchnorm=keep", "survivors=rewind", "not reinit")),
    ("recipe.validation=5000", ("recipe.validation=5000", "dataset digits", "1437")),
    ("recipe.batch_size=2000", ("recipe.batch_size=2000", "not one batch", "1437")),
    ("sweep=../elsewhere", ("sweep=../elsewhere", "folder's name")),
    ("sweep=store", ("sweep=store",)),
    (f"sweep={'x' * 300}", ("sweep=xxxx", "at most 200 bytes")),
    # habits from other templates
    ("+experiment=demo", ("+experiment=demo", "write experiment=demo")),
    ("hydra.job.chdir=true", ("hydra.job.chdir", "relative to where")),
    ("hydra.run.dir=there", ("hydra.run.dir", "paths.output_dir")),
    ("hydra.mode=MULTIRUN", ("hydra.mode", "-m")),
    ("-m hydra.sweep.dir=there seed=0", ("hydra.sweep.dir", "paths.output_dir")),
    ("-m seed=0 hydra.sweep.subdir=x", ("hydra.sweep.subdir", "one folder")),
    ("--shell-completion install=bash", ("--shell-completion", "lt-sweeps list")),
    ("model=null", ("model=null", "~model")),
    ("-m experiment=demo,null", ("experiment=demo,null", "leave it out")),
    ("-m +experiment=demo seed=0,1", ("+experiment=demo", "write experiment=demo")),
    ("+model=vgg16", ("+model=vgg16", "write model=vgg16")),
    # one bad cell among good ones
    ("-m prune.rate=0.2,0.5,1.5", ("prune.rate=1.5", BETWEEN)),
    ("-m seed=0,1 model=lenet_digits,vgg166", ("model=vgg166", "did you mean 'vgg16'?")),
]


@dataclass(frozen=True)
class Answer:
    """What a command line led to."""

    code: int
    out: str
    err: list[str]  # without the lines of -X importtime
    imported: set[str]
    written: list[str]  # below the folder it was run in


def environment() -> dict[str, str]:
    here = {name: value for name, value in os.environ.items() if name != "LT_SWEEPS_DATA"}
    return here | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}


def answer(code: int, imported: set[str], folder: Path) -> Answer:
    lines = folder.with_suffix(".err").read_text().splitlines()
    return Answer(
        code=code,
        out=folder.with_suffix(".out").read_text(),
        err=[line for line in lines if not line.startswith("import time:")],
        imported=imported or {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")},
        written=sorted(str(path.relative_to(folder)) for path in folder.rglob("*")),
    )


def ask(command: str, folder: Path) -> tuple[Answer, float]:
    """The answer to a command line as a user types it, with a log of its imports, and its processor time."""
    folder.mkdir()
    words = [sys.executable, "-X", "importtime", "-m", "lt_sweeps.main", *shlex.split(command)]
    with folder.with_suffix(".out").open("wb") as told, folder.with_suffix(".err").open("wb") as refused:
        process = subprocess.Popen(words, cwd=folder, env=environment(), stdout=told, stderr=refused)
        cost = waited(process)
    return answer(process.returncode, set(), folder), cost


def waited(process: subprocess.Popen[bytes]) -> float:
    """Waits for a child and returns the processor time of this child alone, in seconds."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Answer]]:
    """The answer to a command line, by a fork of one process."""
    place = tmp_path_factory.mktemp("mistakes")
    with subprocess.Popen(
        [sys.executable, str(ROOT / "tests/asking.py")],
        env=environment(),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"

        def one(command: str) -> Answer:
            folder = place / str(len(list(place.iterdir())))
            folder.mkdir()
            print(json.dumps({"words": shlex.split(command), "folder": str(folder)}), file=server.stdin, flush=True)
            told = json.loads(server.stdout.readline())
            return answer(told["code"], {*told["imported"]}, folder)

        yield one
        server.stdin.close()


def is_one_line(answer: Answer, fragments: tuple[str, ...]) -> None:
    assert len(answer.err) == 1, "\n".join(answer.err)
    (line,) = answer.err
    assert line.startswith("lt_sweeps: ")
    for fragment in fragments:
        assert fragment in line
    assert answer.code == 2
    assert answer.out == ""
    assert "lt_sweeps.config.schema" in answer.imported, "the log of imports is there"
    assert "torch" not in answer.imported
    assert [name for name in answer.written if not name.startswith("runs/.hydra") and name != "runs"] == []


def test_the_table_is_long_enough() -> None:
    assert len({command for command, _ in MISTAKES}) == len(MISTAKES) >= 30


@pytest.mark.parametrize(("command", "fragments"), MISTAKES, ids=[command for command, _ in MISTAKES])
def test_a_mistake_is_answered_in_one_line(
    asked: Callable[[str], Answer], command: str, fragments: tuple[str, ...]
) -> None:
    is_one_line(asked(command), fragments)


def test_as_a_user_types_it_too_and_for_less_than_torch_costs_to_import(tmp_path: Path) -> None:
    ours, torchs = [], []
    for number, (command, fragments) in enumerate(MISTAKES[::20]):
        told, cost = ask(command, tmp_path / str(number))
        is_one_line(told, fragments)
        ours.append(cost)
        torchs.append(
            waited(subprocess.Popen([sys.executable, "-c", "import torch"]))
        )  # beside it, as machines are noisy
    assert len(ours) > 5
    assert statistics.median(ours) < statistics.median(torchs)
