#!/bin/sh
# Which criterion, gate or hook finds a planted path (Fischer & Burkholz 2022)? An MLP of 30,200 weights whose draw
# contains a path of 5 that computes relu(x), without error: recall of these 5 at 1.3 % of the weights, and at exactly
# 5. All criteria iteratively, in one shot and before training (`random` is the control), RigL and SET, Sign-In and
# Powerpropagation under IMP, an early bird; masks that a training narrows (gradual pruning, AC/DC, STR), and masks
# learned on the frozen draw. Some criteria again with the factor of the output in the last layer, as in the paper.
# Cost: 213 cells: 651 trainings asked, 384 distinct; disk: 11 MB;
# hours: 39 min of one core, timed on a busy shared two-core AMD EPYC.
set -e
python -m lt_sweeps.main -m \
    model=planted_relu measure=planted ++recipe.optimizer.args.lr=0.003 sweep=planted_relu seed=0,1,2 \
    prune.rate=0.987133 prune.levels=2 prune=imp,one_shot,at_init \
    criterion=magnitude,random,snip,snip_iterative,force,grasp,grasp_magnitude,gradient,synflow,movement,small_final,\
small_init,small_init_small_final,large_init,large_init_large_final,large_final_same_sign,large_final_diff_sign,\
magnitude_increase,magnitude_increase_same_sign,magnitude_increase_diff_sign \
    "$@"
python -m lt_sweeps.main -m \
    model=planted_relu measure=planted ++recipe.optimizer.args.lr=0.003 sweep=planted_relu seed=0,1,2 \
    prune.rate=0.987133 prune.levels=2 prune=at_init criterion=random \
    hook=rigl,set hook.every=20it hook.begin=20it hook.until=75% \
    "$@"
python -m lt_sweeps.main -m \
    model=planted_relu measure=planted ++recipe.optimizer.args.lr=0.003 sweep=planted_relu seed=0,1,2 \
    prune.rate=0.987133 prune.levels=2 prune=imp gate=sign_in,powerpropagation \
    "$@"
python -m lt_sweeps.main -m \
    model=planted_relu measure=planted ++recipe.optimizer.args.lr=0.003 sweep=planted_relu seed=0,1,2 \
    prune.rate=0.987133 prune.levels=1 prune=one_shot find.hook=early_bird \
    find.hook.every=20it find.hook.begin=20it ++find.hook.args.tolerance=0.0026 \
    "$@"
python -m lt_sweeps.main -m \
    model=planted_relu +model.initialiser_args.spread=false measure=planted ++recipe.optimizer.args.lr=0.003 \
    prune.rate=0.987133 prune.levels=2 sweep=planted_relu_last seed=0,1,2 \
    prune=imp,at_init criterion=magnitude,snip,synflow \
    "$@"
python -m lt_sweeps.main -m \
    model=planted_relu measure=planted ++recipe.optimizer.args.lr=0.003 sweep=planted_relu seed=0,1,2 \
    prune.rate=0.987133 prune.levels=2 prune=learned hook=gradual \
    hook.args.ranking=global hook.every=20it survivors=keep train=untrained \
    "$@"
python -m lt_sweeps.main -m \
    model=planted_relu measure=planted ++recipe.optimizer.args.lr=0.003 sweep=planted_relu seed=0,1,2 \
    prune.rate=0.987133 prune.levels=2 prune=learned hook=ac_dc \
    hook.every=40it hook.begin=20it hook.until=85% survivors=keep train=untrained \
    "$@"
python -m lt_sweeps.main -m \
    model=planted_relu measure=planted ++recipe.optimizer.args.lr=0.003 sweep=planted_relu seed=0,1,2 \
    prune.rate=0.5,0.987133 prune.levels=1 prune=learned gate=edge_popup,biprop \
    find.lr=0.03 survivors=keep train=untrained \
    "$@"
python -m lt_sweeps.main -m \
    model=planted_relu measure=planted ++recipe.optimizer.args.lr=0.003 sweep=planted_relu seed=0,1,2 \
    prune.rate=0.5,0.987133 prune.levels=1 prune=learned gate=gem \
    hook=freeze_scores hook.every=20it hook.begin=20it find.lr=0.03 survivors=keep train=untrained \
    "$@"
python -m lt_sweeps.main -m \
    model=planted_relu measure=planted ++recipe.optimizer.args.lr=0.003 sweep=planted_relu seed=0,1,2 \
    prune.levels=1 prune=learned gate=soft_threshold gate.args.start=-5 survivors=keep train=untrained \
    find.optimizer._target_=torch.optim.AdamW "find.optimizer.args={lr: 0.01, weight_decay: 0.3}" \
    "$@"
exec python -m lt_sweeps.main -m \
    model=planted_relu measure=planted ++recipe.optimizer.args.lr=0.003 sweep=planted_relu seed=0,1,2 \
    prune.levels=1 prune=learned gate=bernoulli find.lr=0.1 survivors=keep train=untrained \
    "$@"
