#!/bin/sh
# Learned supermasks (Zhou et al. 2019, Table 1): a probability per frozen weight of LeNet-300-100 on MNIST, on drawn
# weights or a constant with their signs, with and without dynamic weight rescaling. Their search takes 2,000 epochs,
# this one 20. Beside them the trained network.
# Cost: 12 cells: 36 trainings asked, 27 distinct; disk: 77 MB;
# hours: 12 min of one core, estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    model=lenet_300_100 dataset=mnist recipe=zhou_lenet_mnist recipe.optimizer._target_=torch.optim.SGD \
    recipe.optimizer.args.lr=0.1 ++recipe.optimizer.args.momentum=0.9 recipe.batch_size=250 \
    recipe.steps=20ep recipe.eval_every=1ep prune=learned prune.levels=1 find.lr=100 \
    gate=bernoulli ++gate.args.rescale=false,true find.survivors.name=rewind,constant_signed \
    survivors=keep train=untrained seed=0,1,2 \
    "$@"
