#!/bin/sh
# Frankle & Carbin 2019, Figures 3 and 4 (LeNet-300-100 on MNIST), at a tenth of the iterations: five seeds, and
# random re-initialisation. What it came to lies in lenet_mnist_quick/.
# Cost: 10 cells: 230 trainings asked, 155 distinct; disk: 192 MB; hours: 46 min of one core (longest chain 5 min),
# estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m experiment=lenet_mnist_quick "$@"
