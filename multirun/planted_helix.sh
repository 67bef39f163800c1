#!/bin/sh
# Which criterion finds a planted helix (Fischer & Burkholz 2022)? An MLP of 30,400 weights whose draw contains a
# network of 100 that follows a helix with a mean squared error of 2e-4: recall of these 100 at 5.7 % of the weights,
# and at exactly 100. Criteria iteratively and before training (`random` is the control), and masks that are learned
# on the frozen draw.
# Cost: 36 cells: 108 trainings asked, 75 distinct; disk: 6 MB;
# hours: 14 min of one core, timed on a busy shared two-core AMD EPYC.
set -e
python -m lt_sweeps.main -m \
    model=planted_helix measure=planted ++recipe.optimizer.args.lr=0.003 prune.rate=0.942646 prune.levels=2 \
    sweep=planted_helix seed=0,1,2 prune=imp,at_init criterion=magnitude,random,snip,grasp,synflow \
    "$@"
exec python -m lt_sweeps.main -m \
    model=planted_helix measure=planted ++recipe.optimizer.args.lr=0.003 prune.rate=0.5,0.942646 prune.levels=1 \
    sweep=planted_helix seed=0,1,2 prune=learned gate=edge_popup find.lr=0.03 survivors=keep train=untrained \
    "$@"
