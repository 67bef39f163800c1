#!/bin/sh
# Frankle & Carbin 2019, section 3: Conv-2, Conv-4 and Conv-6 on CIFAR-10, five seeds, re-initialisation; no dropout.
# Cost: 30 cells: 690 trainings asked, 465 distinct; disk: 8.5 GB; hours: 984 h of one core (longest chain 47 h),
# estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m experiment=frankle2019 model=conv2,conv4,conv6 "$@"
