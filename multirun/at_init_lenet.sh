#!/bin/sh
# Pruning before training, and its sanity checks (Frankle et al. 2021; Su et al. 2020): five criteria, each with its
# mask shuffled within layers and on weights drawn anew. LeNet-300-100 on MNIST at a tenth of the iterations.
# Cost: 75 cells: 525 trainings asked, 455 distinct; disk: 355 MB;
# hours: 2.3 h of one core, estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    experiment=lenet_mnist_quick prune=at_init prune.rate=0.5 prune.levels=6 \
    criterion=magnitude,random,snip,grasp,synflow control=none,mask_shuffle,reinit seed=0,1,2,3,4 \
    "$@"
