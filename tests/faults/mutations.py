# ruff: noqa: E501
"""Breaks the product in one place after the other, and runs the tests: each must turn red. `python mutations.py [WORD]`

By hand, once per release. It works on a copy, and prints a table: what was broken, and the first test that noticed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
STORE, WORKER, FORMATS = "lt_sweeps/store/store.py", "lt_sweeps/execution/worker.py", "lt_sweeps/store/formats.py"
DISK, OUTCOME = "lt_sweeps/store/disk.py", "lt_sweeps/execution/outcome.py"
GC, SURVEY = "lt_sweeps/store_tools/gc.py", "lt_sweeps/store_tools/survey.py"

ALLOCATION, MASKS, KEYS = "lt_sweeps/allocation.py", "lt_sweeps/masks.py", "lt_sweeps/keys.py"
STEP, FIT, MODULE = "lt_sweeps/training/step.py", "lt_sweeps/training/fit.py", "lt_sweeps/training/module.py"
WATCH = "lt_sweeps/training/watch.py"
LEVEL, CHOICES = "lt_sweeps/methods/level.py", "lt_sweeps/methods/choices.py"
SPARSE, MASKING = "lt_sweeps/training/sparse/choose.py", "lt_sweeps/training/masking.py"
DYNAMICS, VIEW, GRAPH = "lt_sweeps/training/dynamics.py", "lt_sweeps/datasets/view.py", "lt_sweeps/graph.py"

# What is broken; the file; what it says, and what it says then.
MUTATIONS: list[tuple[str, ...]] = [
    ("content is not flushed", DISK, "            os.fsync(file.fileno())\n", ""),
    ("the folder is not flushed", DISK, "        os.fsync(folder)\n", "        pass\n"),
    ("a file is written in its place", DISK, 'f".{path.name}.{uuid4().hex}"', "path.name"),
    (
        "half a file is left when there is no room",
        DISK,
        "        partial.unlink(missing_ok=True)\n        raise",
        "        raise",
    ),
    (
        "an error does not name its file",
        DISK,
        "raise type(error)(error.errno, error.strerror, str(path)) from error",
        "raise",
    ),
    (
        "a record is written before its blobs",
        STORE,
        "        names = {name: self.put(content) for name, content in sorted(blobs.items())}\n",
        "        names = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(blobs.items())}\n",
        "sort_keys=True, indent=1).encode())\n        return record",
        "sort_keys=True, indent=1).encode())\n        {self.put(content) for content in blobs.values()}\n        return record",
    ),
    ("a blob's hash is not looked at", STORE, "if hashlib.sha256(content).hexdigest() != name:", "if False:"),
    ("a record whose blob is gone is done", STORE, 'if not self._path("blob", name).exists():', "if False:"),
    ("what is stale is done", STORE, "        if self._is_stale(record):\n", "        if False:\n"),
    (
        "staleness is looked for in one generation",
        STORE,
        "                    frontier.append(source_record)\n",
        "                    pass\n",
    ),
    ("a damaged blob is not written again", STORE, "path.is_file() and path.read_bytes() == content", "path.is_file()"),
    (
        "a blob that is kept again stays old",
        STORE,
        "                    os.utime(path)\n",
        "                    pass\n",
    ),
    ("what is damaged stays in its place", STORE, "            os.replace(path, place)\n", "            pass\n"),
    (
        "a record's checksum is not looked at",
        FORMATS,
        '.pop("checksum", None) != checksum(fields)',
        '.pop("checksum", None) == 0',
    ),
    ("a record of another key is believed", FORMATS, 'if record.get("key") != key:', "if False:"),
    (
        "a checkpoint's checksum is not looked at",
        FORMATS,
        "if hashlib.sha256(content).hexdigest().encode() != name:",
        "if False:",
    ),
    ("no disk is ever full", DISK, "error.errno in FULL", "False"),
    ("no room fails a training, and the sweep goes on", OUTCOME, "        if is_full(error):\n", "        if False:\n"),
    (
        "snapshots are written after their training",
        WORKER,
        "        self._commit_snapshots(run, progress, made_by, {run.key: expected_identity(blobs)})\n        return self.values.commit(run, results.written(finished), blobs, made_by=made_by)\n",
        "        record = self.values.commit(run, results.written(finished), blobs, made_by=made_by)\n        self._commit_snapshots(run, progress, made_by)\n        return record\n",
    ),
    ("a checkpoint is not continued", WORKER, "        return progress\n", "        return None\n"),
    (
        "a checkpoint is kept when all is done",
        WORKER,
        "        self.store.drop_work(run.key)\n        return record",
        "        return record",
    ),
    ("a checkpoint of another parent is continued", WORKER, "if made_by != made_from:", "if False:"),
    ("a replay is not held against the run", WORKER, 'digests[row["step"]] != row["digest"]', "False"),
    ("gc does not ask who is at work", GC, "        if holder.alive:\n", "        if False:\n"),
    ("gc takes what is young", GC, "if file.changed < before]", "if True]"),
    ("gc takes what became young", GC, "if aside.stat().st_mtime >= before:", "if False:"),
    (
        "gc forgets the snapshots of checkpoints",
        GC,
        "        named |= checkpoints[file.name].blobs\n",
        "        pass\n",
    ),
    ("gc forgets what a sweep began with", GC, "surveyed.named() | _blobs_of_tickets(root)", "surveyed.named()"),
    ("gc believes that a damaged record named nothing", GC, "if surveyed.damaged and removable[UNNAMED]:", "if False:"),
    ("a dry run removes", GC, "if dry or _remove(file, before)", "if _remove(file, before)"),
    ("verify does not look at the node", SURVEY, 'if digest(record["node"]) != file.name:', "if False:"),
    # What must hold of every training, mask and key: ARCHITECTURE.md, Laws.
    (
        "law: a level removes max(1, round(rate * n))",
        ALLOCATION,
        "n -= min(n, max(1, round(fraction",
        "n -= min(n, max(1, int(fraction",
    ),
    (
        "law: ties are broken at random",
        ALLOCATION,
        "torch.randperm(len(tied), generator=generator)",
        "torch.arange(len(tied))",
    ),
    ("law: pruned gradients are zero before clipping", STEP, "        self._masked.mask_gradients()\n", ""),
    (
        "law: every training asserts that pruned places hold their fill",
        FIT,
        "        check_masked(state, ends_with, fill)\n",
        "",
    ),
    (
        "law: a resumed training draws what it would have drawn",
        MODULE,
        "self.run.level, self.step)",
        "self.run.level, 0)",
    ),
    (
        "law: a loss that is not finite stops before its step",
        WATCH,
        "        if not math.isfinite(self._loss):",
        "        if False:",
    ),
    ("law: a shuffled mask differs", MASKS, "if not torch.equal(other, ones) or", "if True or"),
    (
        "law: survivors go back to the rewind point",
        LEVEL,
        "return at(self.dense, self.step)",
        "return at(self.dense, self.dense.ticket.start)",
    ),
    ("law: a control keeps the ticket's own start", CHOICES, "replace(here, start=ticket.ticket.weights)", "here"),
    ("law: equal numbers have equal keys", KEYS, 'float(f"{value:.12g}") if isinstance', "value if isinstance"),
    ("law: a sparse kernel whose steps differ is not trusted", SPARSE, "if not wrong <= CLOSE[dtype]:", "if False:"),
    (
        "law: a fill is put back after every step",
        MASKING,
        "not elementwise or self._fill is not None",
        "not elementwise",
    ),
    ("law: dropout is drawn anew at each level", MODULE, '"network", self.run.level,', '"network", 0,'),
    ("law: augmentation is drawn anew at each level", VIEW, '"augment", level, step)', '"augment", 0, step)'),
    (
        "law: a gate is evaluated without a draw",
        DYNAMICS,
        "self.now if self.training else self.now._replace(generator=None)",
        "self.now",
    ),
    (
        "law: what a gate freezes keeps its start values",
        FIT,
        "            _require_frozen(network, start)\n",
        "            pass\n",
    ),
    (
        "law: a hook's clock begins at its first step",
        DYNAMICS,
        '(step - clock["begin"]) % clock["every"] == 0',
        'step % clock["every"] == 0',
    ),
    (
        "law: the mask of a training that moves it is that of the step",
        GRAPH,
        "        mask = MaskAt(weights)\n",
        "        pass\n",
    ),
]
NEAREST: dict[str, tuple[str, ...]] = {
    **dict.fromkeys((GC, SURVEY), ("test_store_tools.py",)),
    **dict.fromkeys((WORKER, OUTCOME), ("faults",)),
    **dict.fromkeys((ALLOCATION, MASKS), ("test_allocation.py",)),
    MODULE: ("test_draws.py", "test_training.py"),
    **dict.fromkeys((STEP, WATCH, MASKING), ("test_training.py",)),
    FIT: ("test_moved.py", "test_training.py", "test_dynamics.py"),
    DYNAMICS: ("test_dynamics_laws.py", "test_dynamics.py", "test_gates.py", "test_hooks.py"),
    SPARSE: ("test_sparse.py",),
    VIEW: ("test_data.py", "test_training.py"),
    GRAPH: ("test_keys.py", "test_dynamics.py", "test_families.py"),
    LEVEL: ("test_finding.py", "test_families.py"),
    CHOICES: ("test_families.py", "test_sweep.py"),
    KEYS: ("test_keys.py",),
}
TESTS = ("test_store.py", "test_store_tools.py", "test_store_v1.py", "faults", "test_sweep.py")


UNHELPFUL = ("--ignore", "tests/faults/test_mutations.py")  # which notices every change
HERE = ("-m", "not slow and not processes and not engines")  # sweeps too


def first_red(copy: Path, file: str) -> str:
    """The first test that fails; nothing if all pass."""
    paths = os.pathsep.join((str(copy), str(copy / "tests")))
    tests = dict.fromkeys(f"tests/{name}" for name in (*NEAREST.get(file, ()), *TESTS))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *HERE, *UNHELPFUL, *tests],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"^(?:FAILED|ERROR) \S*?(\w+\.py\S*)", done.stdout, re.MULTILINE)
    return "" if done.returncode == 0 else found[1] if found else done.stdout[-300:] + done.stderr[-300:]


def main(words: list[str]) -> int:
    survived = 0
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv", "runs", ".*_cache", "__pycache__"))
        for what, file, *changes in MUTATIONS:
            if words and not any(word in f"{what} {file}" for word in words):
                continue
            text = broken = (ROOT / file).read_text()
            for now, then in zip(changes[::2], changes[1::2], strict=True):
                assert text.count(now) == 1, f"{what}: {file} does not say {now!r} once"
                broken = broken.replace(now, then)
            (copy / file).write_text(broken)
            red = first_red(copy, file)
            (copy / file).write_text(text)
            survived += not red
            print(f"| {what} | {red or 'NOTHING NOTICED'} |", flush=True)
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
