#!/bin/sh
# GEM-MINER (Sreenivasan et al. 2022) and its sanity checks on LeNet-300-100 on MNIST, at 4 and 1.5 % of the weights:
# its tickets trained, with their weights drawn anew, and with their masks shuffled within layers.
# Cost: 18 cells: 54 trainings asked, 27 distinct; disk: 116 MB;
# hours: 8 min of one core, estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    model=lenet_300_100 dataset=mnist recipe=zhou_lenet_mnist recipe.optimizer._target_=torch.optim.SGD \
    recipe.optimizer.args.lr=0.1 ++recipe.optimizer.args.momentum=0.9 recipe.batch_size=128 recipe.steps=5ep \
    recipe.eval_every=1ep prune=learned prune.levels=1 prune.rate=0.96,0.985 \
    gate=gem hook=freeze_scores hook.every=100it hook.begin=100it model.initialiser=signed_constant \
    control=none,reinit,mask_shuffle seed=0,1,2 \
    "$@"
