#!/bin/sh
# Pruning before training, and its first sanity check (Frankle et al. 2021; Su et al. 2020): seven criteria at 95 % and
# at 97.13 % sparsity, where IMP is after 16 levels, each with its mask and with that mask shuffled within layers.
# LeNet-300-100 on MNIST at a tenth of the iterations. imp_shuffle_lenet.sh is the same of IMP.
# Cost: 140 cells: 280 trainings asked, 145 distinct; disk: 52 MB;
# hours: 48 min of one core, estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    experiment=zhou2019 budget=quick prune=at_init prune.rate=0.95,0.9713 prune.levels=1 \
    criterion=magnitude,random,snip,snip_iterative,force,grasp,synflow control=none,mask_shuffle seed=0,1,2,3,4 \
    "$@"
