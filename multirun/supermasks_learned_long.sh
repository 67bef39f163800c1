#!/bin/sh
# The two learned supermasks of supermasks_learned_lenet.sh that Zhou et al. 2019 (Table 1) print numbers of, with 200
# epochs of search, ten times as many: on drawn weights, and on rescaled constants with their signs. What it came to
# lies in supermasks_learned_long/.
# Cost: 6 cells: 18 trainings asked, 15 distinct; disk: 43 MB;
# hours: 1 h 30 min of one core, estimated on a shared two-core Intel Xeon.
set -e
python -m lt_sweeps.main -m \
    model=lenet_300_100 dataset=mnist recipe=zhou_lenet_mnist recipe.optimizer._target_=torch.optim.SGD \
    recipe.optimizer.args.lr=0.1 ++recipe.optimizer.args.momentum=0.9 recipe.batch_size=250 \
    recipe.steps=20ep recipe.eval_every=1ep prune=learned prune.levels=1 find.lr=100 find.steps=200ep \
    gate=bernoulli ++gate.args.rescale=false find.survivors.name=rewind \
    survivors=keep train=untrained seed=0,1,2 sweep=supermasks_learned_long \
    "$@"
exec python -m lt_sweeps.main -m \
    model=lenet_300_100 dataset=mnist recipe=zhou_lenet_mnist recipe.optimizer._target_=torch.optim.SGD \
    recipe.optimizer.args.lr=0.1 ++recipe.optimizer.args.momentum=0.9 recipe.batch_size=250 \
    recipe.steps=20ep recipe.eval_every=1ep prune=learned prune.levels=1 find.lr=100 find.steps=200ep \
    gate=bernoulli ++gate.args.rescale=true find.survivors.name=constant_signed \
    survivors=keep train=untrained seed=0,1,2 sweep=supermasks_learned_long \
    "$@"
