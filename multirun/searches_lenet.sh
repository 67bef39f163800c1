#!/bin/sh
# Is a learned mask a ticket? Edge-popup, layer by layer and global with a kept share that falls, at 4 and 1.5 % of the
# weights of LeNet-300-100 on MNIST: trained, with its weights drawn anew, and with its mask shuffled within layers (the
# sanity checks of Frankle et al. 2021; Sreenivasan et al. 2022). gem_lenet.sh is the same of GEM-MINER.
# Cost: 36 cells: 108 trainings asked, 51 distinct; disk: 219 MB;
# hours: 15 min of one core, estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    model=lenet_300_100 dataset=mnist recipe=zhou_lenet_mnist recipe.optimizer._target_=torch.optim.SGD \
    recipe.optimizer.args.lr=0.1 ++recipe.optimizer.args.momentum=0.9 recipe.batch_size=128 recipe.steps=5ep \
    recipe.eval_every=1ep prune=learned prune.levels=1 prune.rate=0.96,0.985 \
    gate=edge_popup ++gate.args.ranking=layer,global control=none,reinit,mask_shuffle seed=0,1,2 \
    "$@"
