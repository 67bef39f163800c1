"""Executes jobs (trainings, measures, replays) on one device or several, from realised values to the commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import torch

from lt_sweeps import masks, results
from lt_sweeps.config.schema import TrainerConfig
from lt_sweeps.execution import group
from lt_sweeps.execution import plan as planning
from lt_sweeps.execution.machine import device, fingerprint, settle
from lt_sweeps.execution.outcome import Disagreement
from lt_sweeps.execution.plan import Job
from lt_sweeps.execution.rates import KERNEL
from lt_sweeps.execution.slots import cores
from lt_sweeps.foreign import watch
from lt_sweeps.graph import At, Measure, Prune, Ticket, Train, Work, full, sources, topological
from lt_sweeps.provenance.made_from import foreign_parts
from lt_sweeps.provenance.ownership import require_current
from lt_sweeps.realise import Values
from lt_sweeps.results import Collapsed, Diverged, Evaluated, Finished, Kept, Layer
from lt_sweeps.store.formats import expected_identity
from lt_sweeps.store.store import Missing, Record, Store
from lt_sweeps.store.tensors import encode_mask, encode_masked
from lt_sweeps.training import channels_last
from lt_sweeps.training.fit import Hardware, Kernel, Trained, fit
from lt_sweeps.training.gpu import fitting
from lt_sweeps.training.leaving import Left
from lt_sweeps.training.progress import Progress, decode_progress, encode_progress
from lt_sweeps.training.ranks import join
from lt_sweeps.training.recorder import Session, Tell
from lt_sweeps.training.sparse.choose import choose


class Worker:
    """Executes jobs on one device and commits their results.

    Under torch.distributed.run each rank has a Worker, and all execute the same jobs; only rank 0 commits. A rank that
    fails within a training ends its process, because the other ranks wait for it.
    """

    def __init__(
        self,
        store: Store,
        data_dir: Path,
        trainer: TrainerConfig,
        tell: Callable[[str], None],
        leave: Callable[[], bool] = lambda: False,
    ) -> None:
        torch.set_num_threads(trainer.threads)
        settle(trainer.deterministic)
        self.device = device(trainer.accelerator)
        accelerator = {"cuda": "gpu"}.get(self.device.type, self.device.type)
        self.ranks = join(self.device)
        self.hardware = Hardware(accelerator, trainer.deterministic, self.ranks, trainer.kernel, cache(tell))
        self.store, self.tell, self.leave = store, tell, leave
        self.fingerprint = fingerprint(self.device, trainer.deterministic, self.ranks.world)
        workers = max(1, min(16, cores()) // self.ranks.world) if trainer.workers is None else trainer.workers
        self.values = Values(store, data_dir, self.device, self.fingerprint, workers)
        self._mixing_mentioned = False

    def do(self, job: Job, on_step: Tell) -> Record | None:
        """Executes a job and commits its result; returns the record, or None for a replay.

        Raises Missing if a stored source must be computed again, Disagreement if a replay differs from the stored run,
        and Left, after a checkpoint of a training, on SIGTERM or when `leave()` is true.
        """
        watch.watch()  # before foreign code is imported
        if self.ranks.rank:
            return group.follow(self.ranks, lambda *start: self._train(job, *start), (Missing, Disagreement))
        return group.lead(self.ranks, lambda: self._do(job, on_step))

    def fits(self) -> int | None:
        """How many trainings like the one that runs the GPU has memory for; None on a CPU."""
        return fitting(self.device)

    def free_cached_memory(self) -> None:
        """Frees cached GPU memory between two jobs, for other processes on the GPU."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _do(self, job: Job, on_step: Tell) -> Record | None:
        require_current(foreign_parts(job.run))
        if isinstance(job.run, Measure):
            return self._measure(job.run, on_step)
        self._mention_mixing(job.run)
        if job.replay_to is not None:
            self._replay(job, job.run, on_step)
            return None
        run, ticket = job.run, job.run.ticket
        mask = self.values.begun(ticket)
        made_from = self._made_from(run)
        kept = self._kept(ticket, mask)
        if emptied := masks.emptied(mask):
            return self.values.commit(run, results.written(Collapsed(kept, tuple(emptied))), {})
        tensors = self._realised(run, mask)
        kernel = self._kernel(run, tensors)
        made_by = self._made_by(kernel)
        continued = {**made_from, **made_by}
        trained = self._fit(
            job,
            tensors,
            on_step,
            self._resumed(run, continued),
            kernel,
            checkpoint=lambda progress: self.store.save_work(run.key, encode_progress(progress, continued)),
        )
        self._require_made_from(run, made_from)
        self.store.save_timing(run.key, _timing(trained.seconds))
        record = self._commit_trained(run, trained, kept, made_by)  # last: until then the checkpoint is kept
        self.store.drop_work(run.key)
        return record

    def _measure(self, measure: Measure, on_step: Tell) -> Record:
        """Computes a measure and commits it; an interruption loses the points computed so far."""

        def tell(point: int) -> None:
            if self.leave():
                raise Left(point)
            on_step(point, ())

        began, made_from = time.monotonic(), self._made_from(measure)
        table = self.values.table(measure, tell)
        self._require_made_from(measure, made_from)
        self.store.save_timing(measure.key, _timing(time.monotonic() - began))
        return self.values.commit(measure, {"status": "done", **table}, {})

    def _realised(self, run: Train, mask: masks.Mask) -> masks.TicketTensors:
        weights, fill = self.values.weights(run.ticket.weights), self.values.fill(run.ticket)
        return masks.TicketTensors(weights, mask, fill)

    def _kernel(self, run: Train, ticket: masks.TicketTensors) -> Kernel | None:
        """Chooses how the steps of a training are computed; None: by the masked network itself."""
        examples = self.values.examples(run.data)
        chained = choose(run, ticket, examples, self.hardware)
        return chained or channels_last.choose(run, ticket, examples, self.hardware)

    def _made_by(self, kernel: Kernel | None) -> dict[str, Any]:
        """Returns the fingerprint of a training: the worker's, with the kernel if that changes bits."""
        return self.fingerprint if kernel is None else {**self.fingerprint, KERNEL: kernel.name}

    def _fit(
        self,
        job: Job,
        ticket: masks.TicketTensors,
        on_step: Tell,
        progress: Progress | None = None,
        kernel: Kernel | None = None,
        **more: Any,
    ) -> Trained:
        """Trains a realised ticket, on all ranks."""
        group.begin(self.ranks, ticket, progress)
        return self._train(job, ticket, progress, kernel, keep=self.store.put, tell=on_step, **more)

    def _train(
        self,
        job: Job,
        ticket: masks.TicketTensors,
        progress: Progress | None,
        kernel: Kernel | None = None,
        **more: Any,
    ) -> Trained:
        """Trains on this rank; every rank calls it."""
        run = job.run
        assert isinstance(run, Train)
        session = Session(progress, job.replay_to, job.snapshots, leave=self.leave, **more)
        with new_tensors(filled=bool(foreign_parts(run))):
            return group.run_together(
                self.ranks, lambda: fit(run, ticket, self.values.examples(run.data), self.hardware, session, kernel)
            )

    def _kept(self, ticket: Ticket, mask: masks.Mask) -> Kept:
        """Counts the kept weights; `eligible` is the number that the criterion had not excluded, if smaller."""
        shown = [name for name in self.values.shapes(full(ticket)) if name in mask]
        kept, eligible = masks.kept(mask), None
        if isinstance(ticket.mask, Prune):
            count = results.kept_of(self.store.get(ticket.mask.key)).eligible
            eligible = count if count is not None and count < kept else None
        layers = tuple(Layer(name, int(mask[name].sum()), mask[name].numel()) for name in shown)
        return Kept(kept, masks.total(mask), self.values.excluded(ticket.mask), layers, eligible)

    def _commit_trained(self, run: Train, trained: Trained, begun: Kept, made_by: dict[str, Any]) -> Record:
        progress, mask = trained.progress, trained.mask
        history = tuple(progress.history)
        if trained.state is None:
            assert trained.diverged_at is not None
            diverged = Diverged(begun, progress.step, history, trained.diverged_at)
            return self.values.commit(run, results.written(diverged), {}, made_by=made_by)
        assert trained.end is not None
        kept = begun if run.static else replace(self._kept(run.ticket, mask), eligible=None)
        if emptied := masks.emptied(mask):
            return self.values.commit(run, results.written(Collapsed(kept, tuple(emptied))), {}, made_by=made_by)
        early = None
        if progress.best is not None and trained.early_stop is not None:
            best, tested = progress.best, trained.early_stop
            early = Evaluated(tested.metrics, tested.loss, best.step, best.val_loss, best.val)
        end = Evaluated(trained.end.metrics, trained.end.loss)
        changed = None if run.static else begun
        by, noted = progress.ended_by, tuple(progress.noted)
        finished = Finished(kept, progress.step, history, end, early, changed, by, trained.sampled, noted)
        blobs = {"end": encode_masked(trained.state, mask), "mask": encode_mask(mask)}
        self._commit_snapshots(run, progress, made_by, {run.key: expected_identity(blobs)})
        return self.values.commit(run, results.written(finished), blobs, made_by=made_by)

    def _commit_snapshots(
        self, run: Train, progress: Progress, made_by: dict[str, Any], ahead: dict[str, str] | None = None
    ) -> None:
        """Commits a run's snapshots, before the run's own record; `ahead` is the identity the run will have."""
        for step, blob in sorted(progress.snapshots.items()):
            blobs = {"state": self.store.content(blob)}
            if step in progress.masks:
                blobs["mask"] = self.store.content(progress.masks[step])
            self.values.commit(At(run, step), {"step": step}, blobs, ahead, made_by=made_by)

    def _made_from(self, run: Work) -> dict[str, Any]:
        """The fingerprint and the identities of the sources: a checkpoint is continued only if they are equal."""
        return {**self.fingerprint, "sources": {key: self.store.identity(key) for key in sources(run)}}

    def _require_made_from(self, run: Work, made_from: dict[str, Any]) -> None:
        """Raises Missing if another process has replaced a source by other content since."""
        if self._made_from(run) != made_from:
            self.store.drop_work(run.key)
            raise Missing(run.key)

    def _resumed(self, run: Train, made_from: dict[str, Any]) -> Progress | None:
        content = self.store.load_work(run.key)
        if content is None:
            return None
        try:
            progress, made_by = decode_progress(content)
        except ValueError as error:
            self.tell(f"{run}: its checkpoint is damaged ({error}); training starts over")
            return None
        if made_by != made_from:
            why = "another machine, library or parent"
            self.tell(f"{run}: a checkpoint from {why} is not continued; training starts over")
            return None
        if not all(self._has(blob) for blob in (*progress.snapshots.values(), *progress.masks.values())):
            return None
        self.tell(f"{run}: continues at step {progress.step}")
        return progress

    def _has(self, blob: str) -> bool:
        try:
            self.store.content(blob)
        except Missing:
            return False
        return True

    def _replay(self, job: Job, run: Train, on_step: Tell) -> None:
        """Trains again up to a snapshot and commits it. Raises Disagreement if a digest differs from the stored run."""
        record = self.store.get(run.key)
        tensors = self._realised(run, self.values.begun(run.ticket))
        kernel = self._kernel(run, tensors) if KERNEL in record["fingerprint"] else None
        made_by = self._made_by(kernel)
        if record["fingerprint"] != made_by:
            raise Disagreement("it was computed on another machine or library, or by another kernel")
        trained = self._fit(job, tensors, on_step, kernel=kernel)
        digests = {row["step"]: row["digest"] for row in results.outcome(record).history}
        for row in trained.progress.history:
            if row["step"] in digests and digests[row["step"]] != row["digest"]:
                raise Disagreement(f"weights differ at step {row['step']}")
        self._commit_snapshots(run, trained.progress, made_by)

    def _mention_mixing(self, run: Train) -> None:
        if self._mixing_mentioned:
            return
        for node in topological([run.ticket]):
            record = planning.stored(self.store, node) if isinstance(node, Train) else None
            made_by = dict(record["fingerprint"] if record else self.fingerprint)
            made_by.pop(KERNEL, None)  # of a level, by how few weights it keeps
            if made_by != self.fingerprint:
                both = {**self.fingerprint, **made_by}  # one device: no entry `devices`
                differs = ", ".join(k for k in both if made_by.get(k) != self.fingerprint.get(k))
                self.tell(f"note: this chain continues stored work made with another {differs}")
                self._mixing_mentioned = True
                return


def _timing(seconds: float) -> dict[str, float]:
    """What a store notes of the time of a result: how long it took, and when it ended, in Unix time."""
    return {"seconds": round(seconds, 3), "ended": round(time.time(), 3)}


FILLING, _unfilled = Lock(), list[bool]()  # what was set before trainings that need no filling, as long as any runs


@contextmanager
def new_tensors(*, filled: bool) -> Iterator[None]:
    """Context manager: whether deterministic mode fills tensors of torch.empty, for code that may read them unwritten.

    Ours does not, nor do torch's networks and optimizers. The filling takes 6 to 10 % of a step of ResNet-20. The
    setting is the process's; where trainings share one, none needs the filling.
    """
    setting: Any = torch.utils.deterministic
    if filled:
        yield
        return
    with FILLING:
        _unfilled.append(setting.fill_uninitialized_memory)
        setting.fill_uninitialized_memory = False
    try:
        yield
    finally:
        with FILLING:
            if len(_unfilled) == 1:
                setting.fill_uninitialized_memory = _unfilled[0]
            _unfilled.pop()
