#!/bin/sh
# Frankle et al. 2020: LeNet-300-100 on MNIST is stable from step 0, dense and pruned: barriers between trainings that
# differ in their data order, and between levels. At a tenth of the iterations. See barriers_lenet/summary.md.
# Cost: 5 cells: 60 trainings asked, 60 distinct; disk: 86 MB;
# hours: 20 min of one core, estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    experiment=lenet_mnist_quick control=none prune.rate=0.5 prune.levels=5 measure=barriers seed=0,1,2,3,4 \
    "$@"
