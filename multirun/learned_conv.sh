#!/bin/sh
# Masks on the frozen weights of Conv-2 and Conv-4 on CIFAR-10, by edge-popup (Ramanujan et al. 2020), half kept, and
# as supermasks (Zhou et al. 2019, rescaled). 2 epochs of search instead of 100; beside them the networks trained as
# long. Supermasks are searched without the recipe's weight decay, as in their paper.
# Cost: 4 cells: 12 trainings asked, 10 distinct; disk: 248 MB;
# hours: 40 min of one core, estimated on a shared two-core AMD EPYC.
set -e
python -m lt_sweeps.main -m \
    model=conv2,conv4 +model.args.bias=false model.initialiser=signed_constant recipe=ramanujan_conv_cifar10 \
    recipe.steps=2ep recipe.schedule=null prune=learned prune.levels=1 survivors=keep train=untrained seed=0 \
    gate=edge_popup ++gate.args.keep=0.5 find.lr=0.1 sweep=learned_conv \
    "$@"
exec python -m lt_sweeps.main -m \
    model=conv2,conv4 +model.args.bias=false model.initialiser=signed_constant recipe=ramanujan_conv_cifar10 \
    recipe.steps=2ep recipe.schedule=null prune=learned prune.levels=1 survivors=keep train=untrained seed=0 \
    gate=bernoulli ++gate.args.rescale=true \
    ++find.optimizer._target_=torch.optim.SGD ++find.optimizer.args.lr=100 ++find.optimizer.args.momentum=0.9 \
    sweep=learned_conv \
    "$@"
