#!/bin/sh
# GEM-MINER (Sreenivasan et al. 2022) and its sanity checks on LeNet-300-100 on MNIST, at 4 and 1.5 % of the weights:
# its tickets as found, trained, with their weights drawn anew, and with their masks shuffled within layers. Scores are
# frozen over all layers as theirs are, and in each layer.
# Cost: 36 cells: 108 trainings asked, 51 distinct; disk: 219 MB;
# hours: 10 min of one core, estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    model=lenet_300_100 dataset=mnist recipe=zhou_lenet_mnist recipe.optimizer._target_=torch.optim.SGD \
    recipe.optimizer.args.lr=0.1 ++recipe.optimizer.args.momentum=0.9 recipe.batch_size=128 recipe.steps=5ep \
    recipe.eval_every=1ep prune=learned prune.levels=1 prune.rate=0.96,0.985 \
    gate=gem hook=freeze_scores hook.every=100it hook.begin=100it ++hook.args.ranking=global,layer \
    model.initialiser=signed_constant control=none,reinit,mask_shuffle seed=0,1,2 \
    "$@"
