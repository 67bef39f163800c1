#!/bin/sh
# Which criterion finds a planted path (Fischer & Burkholz 2022)? An MLP of 30,200 weights whose draw contains a path
# of 5 that computes relu(x), without error: recall of these 5 at 1.3 % of the weights, and at exactly 5. Criteria
# iteratively and before training (`random` is the control), and masks that are learned on the frozen draw. Some of
# them again with the factor of the output in the last layer, as in the paper.
# Cost: 54 cells: 162 trainings asked, 114 distinct; disk: 10 MB;
# hours: 9 min of one core, timed on a busy shared two-core AMD EPYC.
set -e
python -m lt_sweeps.main -m \
    model=planted_relu measure=planted ++recipe.optimizer.args.lr=0.003 prune.rate=0.987133 prune.levels=2 \
    sweep=planted_relu seed=0,1,2 prune=imp,at_init criterion=magnitude,random,snip,grasp,synflow \
    "$@"
python -m lt_sweeps.main -m \
    model=planted_relu +model.initialiser_args.spread=false measure=planted ++recipe.optimizer.args.lr=0.003 \
    prune.rate=0.987133 prune.levels=2 sweep=planted_relu_last seed=0,1,2 \
    prune=imp,at_init criterion=magnitude,snip,synflow \
    "$@"
exec python -m lt_sweeps.main -m \
    model=planted_relu measure=planted ++recipe.optimizer.args.lr=0.003 prune.rate=0.5,0.987133 prune.levels=1 \
    sweep=planted_relu seed=0,1,2 prune=learned gate=edge_popup find.lr=0.03 survivors=keep train=untrained \
    "$@"
