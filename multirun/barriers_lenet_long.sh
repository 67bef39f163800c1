#!/bin/sh
# Frankle et al. 2020: LeNet-300-100 on MNIST is stable from step 0, dense and pruned, at the 50,000 iterations of the
# first paper: barriers between trainings that differ in their data order, and between levels. What it came to lies in
# barriers_lenet_long/.
# Cost: 3 cells: 36 trainings asked, 36 distinct; disk: 67 MB;
# hours: 1 h 30 min of one core, timed on a shared two-core Intel Xeon.
exec python -m lt_sweeps.main -m \
    experiment=lenet_mnist_quick budget=paper control=none prune.rate=0.5 prune.levels=5 measure=barriers seed=0,3,4 \
    "$@"
