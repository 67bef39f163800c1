#!/bin/sh
# Multi-prize tickets (Diffenderfer & Kailkhura 2021): masks on binary weights of LeNet-300-100 on MNIST, 5 epochs of
# SGD instead of their 100. Masks are evaluated as they were found; nothing but scores is trained.
# Cost: 6 cells: 18 trainings asked, 15 distinct; disk: 45 MB;
# hours: 2 min of one core, estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    model=lenet_300_100 dataset=mnist recipe=zhou_lenet_mnist recipe.optimizer._target_=torch.optim.SGD \
    recipe.optimizer.args.lr=0.1 ++recipe.optimizer.args.momentum=0.9 ++recipe.optimizer.args.weight_decay=1e-4 \
    recipe.batch_size=128 recipe.steps=5ep recipe.eval_every=1ep prune=learned prune.levels=1 \
    gate=biprop ++gate.args.keep=0.5,0.1 survivors=keep train=untrained seed=0,1,2 \
    "$@"
