"""What holds up the most goes first: chains of jobs, by hand."""

from __future__ import annotations

import time
from dataclasses import replace

from small import run_of

from lt_sweeps.execution.chains import chains, work
from lt_sweeps.execution.plan import Job
from lt_sweeps.graph import At, Prune, Score, Ticket, Train, at, end
from lt_sweeps.specs import Part

CRITERION = Part("magnitude", 1)


def job(run: Train, replay_to: int | None = None) -> Job:
    return Job(run, frozenset(), replay_to)


def pruned(dense: Train, parent: Train, rewind: int = 0) -> Train:
    """The next level of `dense` after `parent`."""
    mask = Prune(Score(CRITERION, end(parent)), parent.ticket.mask, 0.2)
    return replace(dense, ticket=Ticket(dense.ticket.network, at(dense, rewind), mask), level=parent.level + 1)


def test_a_chain_is_a_job_and_the_dearest_path_of_what_waits_for_it() -> None:
    dense = run_of(steps=100)
    one = pruned(dense, dense)
    short, two = replace(one, recipe=replace(one.recipe, steps=30)), pruned(dense, one)
    alone = run_of(steps=150)
    found = chains(map(job, (alone, two, short, one, dense)), lambda job: float(job.iterations))
    assert found == {alone: 150, two: 100, one: 200, short: 30, dense: 300}


def test_what_is_stored_holds_up_nothing() -> None:
    dense = run_of(steps=100)
    left, right = pruned(dense, dense), pruned(replace(dense, order=1), dense)
    assert chains([job(left), job(right)], work) == {left: 6000, right: 6000}  # 100 iterations of batch 60


def test_what_rewinds_into_a_training_waits_for_it_too() -> None:
    dense = run_of(steps=100)
    other = replace(dense, order=1)  # whose weights at step 10 a ticket of the dense network's mask begins with
    ticket = Ticket(dense.ticket.network, At(other, 10), pruned(dense, dense).ticket.mask, start=10)
    late = replace(dense, ticket=ticket, level=1)
    found = chains([job(late), job(dense), job(other, replay_to=10)], lambda job: float(job.iterations))
    assert found == {late: 90, dense: 190, other: 100}


def test_of_several_replays_the_dearest_counts() -> None:
    run = run_of(steps=100)
    assert chains([job(run, 50), job(run, 10)], lambda job: float(job.iterations)) == {run: 50}


def test_ten_thousand_jobs_take_ten_times_as_long_as_a_thousand() -> None:
    """In one chain, the deepest graph there is: what is not linear would take a hundred times as long."""
    jobs, last = [], run_of()
    for _ in range(10_000):
        jobs.append(job(last))
        last = pruned(last, last)

    def seconds(count: int) -> float:
        begun = time.process_time()
        found = chains(jobs[:count], lambda job: 1.0)
        assert found[jobs[0].run] == count
        return time.process_time() - begun

    ratios = [seconds(10_000) / seconds(1_000) for _ in range(3)]
    assert min(ratios) < 30, ratios
