#!/bin/sh
# Do other searches find the tickets of IMP? LeNet-300-100 on MNIST, five epochs, five seeds: IMP, SNIP, SynFlow, the
# largest initial weights, random masks and edge-popup, from the same weights to the same densities, each mask then
# trained from these weights. What masks share, where networks answer alike, and the line between them:
# lt-sweeps measure runs/same_tickets_lenet overlap churn barrier --between prune,criterion,gate
# Cost: 30 cells: 135 trainings asked, 120 distinct; disk: 201 MB; hours: 40 min of one core.
set -e
python -m lt_sweeps.main -m \
    model=lenet_300_100 dataset=mnist recipe=zhou_lenet_mnist recipe.optimizer._target_=torch.optim.SGD \
    recipe.optimizer.args.lr=0.1 ++recipe.optimizer.args.momentum=0.9 recipe.batch_size=128 recipe.steps=5ep \
    recipe.eval_every=1ep model.initialiser=kaiming_normal prune.rate=0.5 prune.levels=3 seed=0,1,2,3,4 \
    sweep=same_tickets_lenet prune=imp \
    "$@"
python -m lt_sweeps.main -m \
    model=lenet_300_100 dataset=mnist recipe=zhou_lenet_mnist recipe.optimizer._target_=torch.optim.SGD \
    recipe.optimizer.args.lr=0.1 ++recipe.optimizer.args.momentum=0.9 recipe.batch_size=128 recipe.steps=5ep \
    recipe.eval_every=1ep model.initialiser=kaiming_normal prune.rate=0.5 prune.levels=3 seed=0,1,2,3,4 \
    sweep=same_tickets_lenet prune=at_init criterion=snip,synflow,magnitude,random \
    "$@"
exec python -m lt_sweeps.main -m \
    model=lenet_300_100 dataset=mnist recipe=zhou_lenet_mnist recipe.optimizer._target_=torch.optim.SGD \
    recipe.optimizer.args.lr=0.1 ++recipe.optimizer.args.momentum=0.9 recipe.batch_size=128 recipe.steps=5ep \
    recipe.eval_every=1ep model.initialiser=kaiming_normal prune.rate=0.5 prune.levels=3 seed=0,1,2,3,4 \
    sweep=same_tickets_lenet prune=learned gate=edge_popup \
    "$@"
