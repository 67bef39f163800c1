#!/bin/sh
# Which criterion finds a planted path (Fischer & Burkholz 2022)? An MLP of 30,200 weights whose draw contains a path of 5
# that computes relu(x), without error: recall of these 5 at 1.3 % of the weights, and at exactly 5. Criteria
# iteratively and before training (`random` is the control), and masks that are learned on the frozen draw.
# Cost: 36 cells: 108 trainings asked, 75 distinct; disk: 6 MB;
# hours: 9 min of one core, timed on a busy shared two-core AMD EPYC.
set -e
python -m lt_sweeps.main -m \
    model=planted_relu measure=planted recipe.optimizer.lr=0.003 prune.rate=0.987133 prune.levels=2 \
    sweep=planted_relu seed=0,1,2 prune=imp,at_init criterion=magnitude,random,snip,grasp,synflow \
    "$@"
exec python -m lt_sweeps.main -m \
    model=planted_relu measure=planted recipe.optimizer.lr=0.003 prune.rate=0.5,0.987133 prune.levels=1 \
    sweep=planted_relu seed=0,1,2 prune=learned gate=edge_popup find.lr=0.03 survivors=keep train=untrained \
    "$@"
