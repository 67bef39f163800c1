#!/bin/sh
# Frankle & Carbin 2019, Figures 3 and 4: LeNet-300-100 on MNIST, 50,000 iterations, five seeds, re-initialisation.
# Cost: 10 cells: 230 trainings asked, 155 distinct; disk: 249 MB; hours: 8 h of one core (longest chain 47 min),
# estimated on a shared two-core AMD EPYC; seeds 3 and 4 were trained on a shared two-core Xeon.
exec python -m lt_sweeps.main -m experiment=frankle2019 "$@"
