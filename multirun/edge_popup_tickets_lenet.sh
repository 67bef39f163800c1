#!/bin/sh
# Is what edge-popup finds a ticket? LeNet-300-100 on MNIST at 4 and 1.5 %, ranked per layer and globally,
# at once and gradually (Sreenivasan et al. 2022): as found, trained, drawn anew, and with shuffled masks.
# Cost: 72 cells: 216 trainings asked, 99 distinct; disk: 425 MB;
# hours: 10 min of one core, estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    model=lenet_300_100 dataset=mnist recipe=zhou_lenet_mnist recipe.optimizer._target_=torch.optim.SGD \
    recipe.optimizer.args.lr=0.1 ++recipe.optimizer.args.momentum=0.9 recipe.batch_size=128 recipe.steps=5ep \
    recipe.eval_every=1ep prune=learned prune.levels=1 prune.rate=0.96,0.985 \
    gate=edge_popup ++gate.args.ranking=layer,global \
    ++gate.args.schedule=constant,exponential \
    model.initialiser=signed_constant control=none,reinit,mask_shuffle seed=0,1,2 \
    "$@"
