#!/bin/sh
# Edge-popup (Ramanujan et al. 2020) over kept shares, with and without the factor sqrt(n / kept): LeNet-300-100 on
# MNIST, 5 epochs of SGD instead of their 100. Masks are evaluated as they were found; nothing but scores is trained.
# Cost: 30 cells: 90 trainings asked, 63 distinct; disk: 174 MB;
# hours: 25 min of one core, estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    model=lenet_300_100 dataset=mnist recipe=zhou_lenet_mnist recipe.optimizer._target_=torch.optim.SGD \
    recipe.optimizer.args.lr=0.1 ++recipe.optimizer.args.momentum=0.9 ++recipe.optimizer.args.weight_decay=1e-4 \
    recipe.batch_size=128 recipe.steps=5ep recipe.eval_every=1ep prune=learned prune.levels=1 \
    gate=edge_popup ++gate.args.keep=0.9,0.5,0.3,0.1,0.03 ++gate.args.scale=true,false \
    survivors=keep train=untrained seed=0,1,2 \
    "$@"
