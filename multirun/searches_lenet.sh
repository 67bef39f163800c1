#!/bin/sh
# Are the masks that three searches find on frozen weights tickets? Edge-popup, biprop and supermasks, LeNet-300-100 on
# MNIST: as found, trained, with the weights drawn anew, and with the masks shuffled within layers. 5 epochs of search
# and of training; 20 of search for supermasks.
# Cost: 27 cells: 81 trainings asked, 39 distinct; disk: 110 MB;
# hours: 12 min of one core, estimated on a shared two-core AMD EPYC.
set -e
python -m lt_sweeps.main -m \
    model=lenet_300_100 dataset=mnist recipe=zhou_lenet_mnist recipe.optimizer._target_=torch.optim.SGD \
    recipe.optimizer.args.lr=0.1 ++recipe.optimizer.args.momentum=0.9 recipe.batch_size=128 recipe.steps=5ep \
    recipe.eval_every=1ep prune=learned prune.levels=1 control=none,reinit,mask_shuffle seed=0,1,2 \
    gate=edge_popup,biprop ++gate.args.keep=0.3 sweep=searches_lenet \
    "$@"
exec python -m lt_sweeps.main -m \
    model=lenet_300_100 dataset=mnist recipe=zhou_lenet_mnist recipe.optimizer._target_=torch.optim.SGD \
    recipe.optimizer.args.lr=0.1 ++recipe.optimizer.args.momentum=0.9 recipe.batch_size=128 recipe.steps=5ep \
    recipe.eval_every=1ep prune=learned prune.levels=1 control=none,reinit,mask_shuffle seed=0,1,2 \
    gate=bernoulli ++gate.args.rescale=true find.lr=100 find.batch_size=250 find.steps=20ep sweep=searches_lenet \
    "$@"
