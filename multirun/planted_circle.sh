#!/bin/sh
# Which criterion, gate or hook finds a planted ticket (Fischer & Burkholz 2022)? An MLP of 30,600 weights whose draw
# contains a network of 51 that solves `circle`: recall of these 51 at 4.1 % of the weights, and at exactly 51. All
# criteria iteratively, in one shot and before training (`random` is the control), RigL and SET, Sign-In and
# Powerpropagation under IMP, an early bird; masks that a training narrows (gradual pruning, AC/DC, STR), and masks that
# are learned on the frozen draw, evaluated as they are found.
# Cost: 195 cells: 597 trainings asked, 345 distinct; disk: 12 MB;
# hours: 9 min of one core, timed on a busy shared two-core AMD EPYC.
set -e
python -m lt_sweeps.main -m \
    model=planted measure=planted prune.rate=0.9591752 prune.levels=2 sweep=planted_circle seed=0,1,2 \
    prune=imp,one_shot,at_init \
    criterion=magnitude,random,snip,snip_iterative,force,grasp,grasp_magnitude,gradient,synflow,movement,small_final,\
small_init,small_init_small_final,large_init,large_init_large_final,large_final_same_sign,large_final_diff_sign,\
magnitude_increase,magnitude_increase_same_sign,magnitude_increase_diff_sign \
    "$@"
python -m lt_sweeps.main -m \
    model=planted measure=planted prune.rate=0.9591752 prune.levels=2 sweep=planted_circle seed=0,1,2 \
    prune=at_init criterion=random hook=rigl,set hook.every=20it hook.begin=20it hook.until=75% \
    "$@"
python -m lt_sweeps.main -m \
    model=planted measure=planted prune.rate=0.9591752 prune.levels=2 sweep=planted_circle seed=0,1,2 \
    prune=imp gate=sign_in,powerpropagation \
    "$@"
python -m lt_sweeps.main -m \
    model=planted measure=planted prune.rate=0.9591752 prune.levels=1 sweep=planted_circle seed=0,1,2 \
    prune=one_shot find.hook=early_bird find.hook.every=20it find.hook.begin=20it ++find.hook.args.tolerance=0.0082 \
    "$@"
python -m lt_sweeps.main -m \
    model=planted measure=planted prune.rate=0.9591752 prune.levels=2 sweep=planted_circle seed=0,1,2 \
    prune=learned hook=gradual hook.args.ranking=global hook.every=20it survivors=keep train=untrained \
    "$@"
python -m lt_sweeps.main -m \
    model=planted measure=planted prune.rate=0.9591752 prune.levels=2 sweep=planted_circle seed=0,1,2 \
    prune=learned hook=ac_dc hook.every=40it hook.begin=20it hook.until=85% survivors=keep train=untrained \
    "$@"
python -m lt_sweeps.main -m \
    model=planted measure=planted prune.rate=0.5,0.9591752 prune.levels=1 sweep=planted_circle seed=0,1,2 \
    prune=learned gate=edge_popup,biprop find.lr=0.03 survivors=keep train=untrained \
    "$@"
python -m lt_sweeps.main -m \
    model=planted measure=planted prune.rate=0.5,0.9591752 prune.levels=1 sweep=planted_circle seed=0,1,2 \
    prune=learned gate=gem hook=freeze_scores hook.every=20it hook.begin=20it find.lr=0.03 \
    survivors=keep train=untrained \
    "$@"
python -m lt_sweeps.main -m \
    model=planted measure=planted prune.levels=1 sweep=planted_circle seed=0,1,2 \
    prune=learned gate=soft_threshold gate.args.start=-5 survivors=keep train=untrained \
    find.optimizer._target_=torch.optim.AdamW "find.optimizer.args={lr: 0.01, weight_decay: 0.8}" \
    "$@"
exec python -m lt_sweeps.main -m \
    model=planted measure=planted prune.levels=1 sweep=planted_circle seed=0,1,2 \
    prune=learned gate=bernoulli find.lr=0.1 survivors=keep train=untrained \
    "$@"
