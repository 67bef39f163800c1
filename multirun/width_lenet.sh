#!/bin/sh
# Over-parameterisation (Ramanujan et al. 2020): edge-popup over widths of LeNet-300-100 and kept shares, on MNIST, 5
# epochs. Each row has the mask as found on frozen weights, and the ticket trained; level 0 is the dense network.
# Cost: 36 cells: 108 trainings asked, 84 distinct; disk: 354 MB;
# hours: 30 min of one core, estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    model=lenet_300_100 model.width=0.25,0.5,1,2 dataset=mnist recipe=zhou_lenet_mnist \
    recipe.optimizer._target_=torch.optim.SGD recipe.optimizer.args.lr=0.1 ++recipe.optimizer.args.momentum=0.9 \
    recipe.batch_size=128 recipe.steps=5ep recipe.eval_every=1ep model.initialiser=signed_constant \
    prune=learned prune.levels=1 gate=edge_popup ++gate.args.keep=0.5,0.3,0.1 seed=0,1,2 \
    "$@"
