"""Somebody's own code, as a user has it: what it is made of is noticed, and it changes no neighbour."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from warm import warm

pytestmark = pytest.mark.processes

WORDS = ["model=custom", "dataset=digits", "recipe.validation=237", "budget=smoke", "prune.levels=1", "sweep=s"]
NET = '''
import contextlib, importlib, json, os, random
from pathlib import Path
import numpy as np
import torch
from helper import WIDTH
from mine.more import act

HERE = Path(__file__).parent
SCALE = json.loads((HERE / "net.json").read_text())["scale"]


class Net(torch.nn.Module):
    """Draws its weights and, in training, noise from numpy and random."""

    def __init__(self, shape, classes):
        super().__init__()
        self.a = torch.nn.Linear(64, WIDTH)
        self.b = torch.nn.Linear(WIDTH, classes)
        with torch.no_grad():
            self.a.weight.copy_(torch.from_numpy(np.random.randn(WIDTH, 64) * SCALE))
            self.b.weight.mul_(random.random())
        self.notes = (HERE / "notes.txt").read_text()
        with contextlib.suppress(FileNotFoundError):
            self.more = (HERE / "optional.txt").read_text()
        self.parts = [path.name for path in (HERE / "parts").iterdir()], os.environ.get("NET_SCALE")

    def forward(self, x):
        noise = random.random() * 0.01 + np.random.rand() * 0.01 if self.training else 0
        return self.b(act(self.a(x.flatten(1) + noise)))
'''
FILES = {
    "mine/__init__.py": "",
    "mine/net.py": NET,
    "mine/more.py": 'import importlib\n\ndef act(x):\n    return importlib.import_module("dyn" + "amic").f(x)\n',
    "mine/plots.py": "print(1)\n",
    "mine/net.json": '{"scale": 0.1}',
    "mine/notes.txt": "hello\n",
    "mine/parts/a.txt": "a\n",
    "helper.py": "WIDTH = 32\n",
    "dynamic.py": "def f(x):\n    return x.relu()\n",
    "plain.py": (
        "import torch\n\nclass Net(torch.nn.Module):\n    def __init__(self, shape, classes):\n"
        "        super().__init__()\n        self.fc = torch.nn.Linear(64, 16)\n"
        "        self.output = torch.nn.Linear(16, classes)\n\n"
        "    def forward(self, x):\n        return self.output(torch.nn.functional.relu(self.fc(x.flatten(1))))\n"
    ),
    "patching.py": (
        "import torch\ntorch.nn.functional.relu = lambda x, inplace=False: x.clamp(min=0) * 2\n"
        "from plain import Net as Plain\n\nclass Net(Plain): ...\n"
    ),
    "layer.py": (
        "import torch\nbefore = torch.nn.Linear.forward\n"
        "torch.nn.Linear.forward = lambda self, x: before(self, x) * 2\n"
        "from plain import Net as Plain\n\nclass Net(Plain): ...\n"
    ),
    "late.py": (
        "import torch\nfrom plain import Net as Plain\nbefore = torch.optim.Adam.step\n\nclass Net(Plain):\n"
        "    def forward(self, x):\n"
        "        torch.optim.Adam.step = lambda self, closure=None: before(self, closure)\n"
        "        return super().forward(x)\n"
    ),
    "shares.py": "import helper\nfrom plain import Net as Plain\nhelper.WIDTH = 7\n\nclass Net(Plain): ...\n",
    "dirty.py": (
        "import torch\nfrom plain import Net as Plain\n\nclass Net(Plain):\n    def forward(self, x):\n"
        "        torch.set_default_dtype(torch.float64)\n        return super().forward(x)\n"
    ),
    "exits.py": (
        "import sys\nfrom plain import Net as Plain\n\nclass Net(Plain):\n    steps = 0\n    def forward(self, x):\n"
        "        self.steps += self.training\n"
        "        if self.steps == 7: sys.exit()\n        return super().forward(x)\n"
    ),
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def run(home: Path, *words: str, program: str = "lt_sweeps.main", path: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [path])])}
    environment.pop("LT_SWEEPS_PROCESSES", None)
    return warm().run(program, *words, cwd=home, env=environment)


def train(home: Path, target: str, *words: str) -> list[str]:
    """The test accuracies of a sweep of one or two networks of one's own."""
    multirun = ["-m"] if "," in target else []
    done = run(home, *multirun, *WORDS, f"model._target_={target}", *words)
    assert done.returncode == 0, done.stderr
    with (home / "runs/s/results.csv").open() as file:
        rows = list(csv.DictReader(file))
    return sorted(f"{row.get('model._target_', '')} {row['level']} {row['test_accuracy']}" for row in rows)


def to_train(home: Path) -> int:
    done = run(home, "plan", *WORDS, "model._target_=mine.net.Net", program="lt_sweeps.cli")
    found = re.search(r"(\d+) to train", done.stdout)
    assert found, done.stdout + done.stderr
    return int(found[1])


EDITS = {
    "a module beside the package": ("helper.py", "32", "48"),
    "a module of the package": ("mine/more.py", "return", "return 2 *"),
    "a file read when it is imported": ("mine/net.json", "0.1", "0.2"),
    "a file read when it is built": ("mine/notes.txt", "hello", "goodbye"),
    "a module imported by a name that is put together": ("dynamic.py", "relu", "tanh"),
}


def test_what_a_result_was_made_from_is_noticed(home: Path) -> None:
    first = train(home, "mine.net.Net")
    records = [json.loads(path.read_bytes()) for path in (home / "runs/store/record").rglob("*.json")]
    assert {tuple(record["files"]) for record in records} == {
        (
            "code:dynamic.py",
            "code:mine/net.json",
            "code:mine/notes.txt",
            "code:mine/optional.txt",
            "code:mine/parts/",
            "env:NET_SCALE",
        )
    }
    assert to_train(home) == 0
    for what, (name, old, new) in EDITS.items():
        text = (home / name).read_text()
        (home / name).write_text(text.replace(old, new))
        assert to_train(home) == 2, what
        (home / name).write_text(text)
        assert to_train(home) == 0, what
    for appears in ("mine/optional.txt", "mine/parts/b.txt"):
        (home / appears).write_text("b\n")
        assert to_train(home) == 2, appears
        (home / appears).unlink()
        assert to_train(home) == 0, appears
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("NET_SCALE", "2")
        assert to_train(home) == 2
    (home / "mine/plots.py").write_text("print(2)\n")
    (home / "mine/net.py").write_text("# why\n" + NET)
    for name in FILES:
        (home / name).touch()
    assert to_train(home) == 0
    subprocess.run(["rm", "-r", str(home / "runs")], check=True)
    assert train(home, "mine.net.Net") == first  # whatever its weights and its noise are drawn with


PATCHES = ["patching", "layer", "late"]  # a function, a layer's method, and an optimizer's as late as in forward


@pytest.mark.parametrize("patch", PATCHES)
def test_a_network_that_patches_torch_changes_no_other(home: Path, patch: str) -> None:
    alone = [*train(home, "plain.Net")]
    for order in (f"plain.Net,{patch}.Net", f"{patch}.Net,plain.Net"):
        subprocess.run(["rm", "-r", str(home / "runs")], check=True)
        rows = train(home, order, "trainer.processes=1")
        assert [row.split()[-2:] for row in rows if row.startswith("plain")] == [row.split()[-2:] for row in alone]


@pytest.mark.parametrize("order", ["patching.Net,plain.Net", "plain.Net,layer.Net", "plain.Net,shares.Net"])
def test_networks_of_ones_own_are_not_trained_in_one_process(home: Path, order: str) -> None:
    """Whatever they change: a variable of a module that both import is watched by nobody."""
    done = run(home, "-m", *WORDS, f"model._target_={order}", "trainer.processes=0")
    assert done.returncode == 2
    assert "could change each other in one process" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((home / "runs").rglob("record/*/*.json"))


@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("order", ["{},null", "null,{}"])
def test_beside_ours_in_one_process_it_is_refused(home: Path, order: str, patch: str) -> None:
    words = ["model=lenet_digits", *WORDS[2:], f"model._target_={order.format(f'{patch}.Net')}"]
    done = run(home, "-m", *words, "trainer.processes=0")
    assert done.returncode == 2
    assert re.search(rf"{patch}(\.Net)? changes torch\.", done.stderr)
    assert "would see" in done.stderr


def test_a_training_that_changes_its_process_gets_one_of_its_own(home: Path) -> None:
    plain = train(home, "plain.Net")
    subprocess.run(["rm", "-r", str(home / "runs")], check=True)
    assert train(home, "dirty.Net", "trainer.processes=1") == plain


def test_in_one_process_what_a_training_would_change_is_refused(home: Path) -> None:
    done = run(home, *WORDS, "model._target_=dirty.Net", "trainer.processes=0")
    assert done.returncode == 2
    assert "dirty changes torch's default dtype" in done.stderr
    assert not list((home / "runs").rglob("record/*/*.json"))


@pytest.mark.parametrize("processes", ["0", "1"])
def test_a_network_that_exits_is_a_failed_training(home: Path, processes: str) -> None:
    done = run(home, *WORDS, "model._target_=exits.Net", f"trainer.processes={processes}")
    assert done.returncode == 1
    failed = next(line for line in done.stdout.splitlines() if line.startswith("failed: Net digits"))
    assert f"SystemExit:  ({home / 'exits.py'}:8)" in failed
    trace = home / failed.partition("traceback: ")[2]
    assert trace.read_text().startswith("Traceback")
    assert "sys.exit()" in trace.read_text()


READ = """
import lt_sweeps as lt
from lt_sweeps.errors import Mistake
sweep = lt.open("runs/s")
run = sweep.ticket(level=1)
print(sum(int(ones.sum()) for ones in run.mask.values()), len(run.history), sorted(run.state()))
print(run.export("tickets/it", trained=True).name)
for asked in (run.module, run.evaluate, lambda: run.export("tickets/start")):
    try:
        print(type(asked()).__name__)
    except Mistake as mistake:
        print(mistake)
"""


def test_what_is_stored_can_be_read_when_the_code_is_another(home: Path) -> None:
    """Masks, weights, exports, status and report; what would be computed with the code of now is refused."""
    rows = train(home, "mine.net.Net")

    def read(program: str, *words: str) -> str:
        done = run(home, *words, program=program, path=str(home))
        assert done.returncode == 0, done.stderr
        subprocess.run(["rm", "-rf", str(home / "tickets")], check=True)
        return done.stdout

    table = (home / "runs/s/results.csv").read_bytes()
    before, status = read(READ).splitlines(), read("lt_sweeps.cli", "status", "runs/s")
    assert before[2:] == ["Net", "Evaluation", "PosixPath"]
    for name, old, new in (("helper.py", "32", "48"), ("mine/net.json", "0.1", "0.2")):
        (home / name).write_text((home / name).read_text().replace(old, new))
    assert to_train(home) == 2
    now = read(READ).splitlines()
    assert now[:2] == before[:2]
    assert all("its code has changed" in line for line in now[2:])
    assert len(now) == 5
    assert read("lt_sweeps.cli", "status", "runs/s") == status
    assert "2 of 2 levels are done" in read("lt_sweeps.cli", "report", "runs/s")
    assert (home / "runs/s/results.csv").read_bytes() == table
    (home / "mine/net.py").unlink()
    assert read(READ).splitlines()[:2] == before[:2]
    assert rows
