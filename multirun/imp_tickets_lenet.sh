#!/bin/sh
# What gem_lenet.sh and edge_popup_tickets_lenet.sh are compared with: IMP to 1.5 % in nine levels, with its weights
# drawn anew and its masks shuffled. LeNet-300-100 on MNIST.
# Cost: 9 cells: 138 trainings asked, 84 distinct; disk: 79 MB;
# hours: 8 min of one core, estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    model=lenet_300_100 dataset=mnist recipe=zhou_lenet_mnist recipe.optimizer._target_=torch.optim.SGD \
    recipe.optimizer.args.lr=0.1 ++recipe.optimizer.args.momentum=0.9 recipe.batch_size=128 recipe.steps=5ep \
    recipe.eval_every=1ep prune.rate=0.373 prune.levels=9 \
    model.initialiser=signed_constant control=none,reinit,mask_shuffle seed=0,1,2 \
    "$@"
