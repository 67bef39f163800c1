#!/bin/sh
# Lee et al. 2019 (SNIP): LeNet-300-100 on MNIST by their recipe, pruned before training to 90, 95 and 98 % sparsity,
# trained from the weights that were scored, and from others, as their code does. What it came to lies in snip_lenet/.
# Cost: 30 cells: 60 trainings asked, 35 distinct; disk: 30 MB;
# hours: 20 min of one core, estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    model=lenet_300_100 recipe=snip_lenet_mnist prune=at_init criterion=snip \
    prune.rate=0.9,0.95,0.98 prune.levels=1 control=none,reinit seed=0,1,2,3,4 \
    "$@"
