#!/bin/sh
# What is inside the tickets of IMP, LeNet-300-100 on MNIST at a tenth of the iterations: how far weights move that
# survive and that are pruned, which classes suffer first, paths, signs, calibration. What tickets of different seeds
# share is asked of the finished sweep: lt-sweeps measure runs/inside_lenet overlap --between seed
# Cost: 5 cells: 45 trainings asked, 45 distinct; disk: 54 MB;
# hours: 30 min of one core, timed on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    experiment=lenet_mnist_quick control=none prune.rate=0.5 prune.levels=8 measure=inside seed=0,1,2,3,4 \
    sweep=inside_lenet \
    "$@"
