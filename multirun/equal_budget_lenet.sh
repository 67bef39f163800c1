#!/bin/sh
# What IMP's budget buys without its search: LeNet-300-100 on MNIST at 95 and 98 % sparsity. IMP takes 3 or 4 levels of
# 250 iterations, with the dense training 1,000 or 1,250 in all. Beside it, with as many: a fixed random ERK mask in as
# many cycles (Gadhikar et al. 2024) or in one training, SET, RigL, gradual pruning (Zhu & Gupta 2017) and AC/DC
# (Peste et al. 2021). Rates fall as a cosine, in each cycle or over the whole training.
# Cost: 80 cells: 265 trainings asked, 200 distinct; disk: 76 MB;
# hours: 15 min of one core, estimated on a shared two-core AMD EPYC.
set -e
python -m lt_sweeps.main -m \
    model=lenet_300_100 prune.groups=global "prune.factors={output.weight: 1.0}" recipe.schedule._target_=cosine \
    recipe.eval_every=250it sweep=equal_budget_lenet seed=0,1,2,3,4 \
    recipe.steps=250it +recipe.schedule.args.total_steps=250it \
    prune=imp prune.rate=0.6316 prune.levels=3 rewind=learning_rate,init \
    "$@"
python -m lt_sweeps.main -m \
    model=lenet_300_100 prune.groups=global "prune.factors={output.weight: 1.0}" recipe.schedule._target_=cosine \
    recipe.eval_every=250it sweep=equal_budget_lenet seed=0,1,2,3,4 \
    recipe.steps=250it +recipe.schedule.args.total_steps=250it \
    prune=cyclic prune.cycles=4 prune.rate=0.95 prune.levels=1 allocation=erk rewind=learning_rate \
    "$@"
python -m lt_sweeps.main -m \
    model=lenet_300_100 prune.groups=global "prune.factors={output.weight: 1.0}" recipe.schedule._target_=cosine \
    recipe.eval_every=250it sweep=equal_budget_lenet seed=0,1,2,3,4 \
    recipe.steps=1000it +recipe.schedule.args.total_steps=1000it \
    prune=learned prune.rate=0.95 prune.levels=1 survivors=keep train=untrained \
    hook=gradual hook.args.ranking=global hook.every=20it \
    "$@"
python -m lt_sweeps.main -m \
    model=lenet_300_100 prune.groups=global "prune.factors={output.weight: 1.0}" recipe.schedule._target_=cosine \
    recipe.eval_every=250it sweep=equal_budget_lenet seed=0,1,2,3,4 \
    recipe.steps=1000it +recipe.schedule.args.total_steps=1000it \
    prune=learned prune.rate=0.95 prune.levels=1 survivors=keep train=untrained \
    hook=ac_dc hook.every=100it hook.begin=50it \
    "$@"
python -m lt_sweeps.main -m \
    model=lenet_300_100 prune.groups=global "prune.factors={output.weight: 1.0}" recipe.schedule._target_=cosine \
    recipe.eval_every=250it sweep=equal_budget_lenet seed=0,1,2,3,4 \
    recipe.steps=1000it +recipe.schedule.args.total_steps=1000it \
    prune=at_init criterion=random allocation=erk prune.rate=0.95 prune.levels=1 \
    hook=none,set,rigl hook.every=20it hook.begin=20it hook.until=75% \
    "$@"
python -m lt_sweeps.main -m \
    model=lenet_300_100 prune.groups=global "prune.factors={output.weight: 1.0}" recipe.schedule._target_=cosine \
    recipe.eval_every=250it sweep=equal_budget_lenet seed=0,1,2,3,4 \
    recipe.steps=250it +recipe.schedule.args.total_steps=250it \
    prune=imp prune.rate=0.624 prune.levels=4 rewind=learning_rate,init \
    "$@"
python -m lt_sweeps.main -m \
    model=lenet_300_100 prune.groups=global "prune.factors={output.weight: 1.0}" recipe.schedule._target_=cosine \
    recipe.eval_every=250it sweep=equal_budget_lenet seed=0,1,2,3,4 \
    recipe.steps=250it +recipe.schedule.args.total_steps=250it \
    prune=cyclic prune.cycles=5 prune.rate=0.98 prune.levels=1 allocation=erk rewind=learning_rate \
    "$@"
python -m lt_sweeps.main -m \
    model=lenet_300_100 prune.groups=global "prune.factors={output.weight: 1.0}" recipe.schedule._target_=cosine \
    recipe.eval_every=250it sweep=equal_budget_lenet seed=0,1,2,3,4 \
    recipe.steps=1250it +recipe.schedule.args.total_steps=1250it \
    prune=learned prune.rate=0.98 prune.levels=1 survivors=keep train=untrained \
    hook=gradual hook.args.ranking=global hook.every=20it \
    "$@"
python -m lt_sweeps.main -m \
    model=lenet_300_100 prune.groups=global "prune.factors={output.weight: 1.0}" recipe.schedule._target_=cosine \
    recipe.eval_every=250it sweep=equal_budget_lenet seed=0,1,2,3,4 \
    recipe.steps=1250it +recipe.schedule.args.total_steps=1250it \
    prune=learned prune.rate=0.98 prune.levels=1 survivors=keep train=untrained \
    hook=ac_dc hook.every=125it hook.begin=62it \
    "$@"
exec python -m lt_sweeps.main -m \
    model=lenet_300_100 prune.groups=global "prune.factors={output.weight: 1.0}" recipe.schedule._target_=cosine \
    recipe.eval_every=250it sweep=equal_budget_lenet seed=0,1,2,3,4 \
    recipe.steps=1250it +recipe.schedule.args.total_steps=1250it \
    prune=at_init criterion=random allocation=erk prune.rate=0.98 prune.levels=1 \
    hook=none,set,rigl hook.every=20it hook.begin=20it hook.until=75% \
    "$@"
