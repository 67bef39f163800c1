#!/bin/sh
# Frankle & Carbin 2019, section 2: LeNet-300-100 pruned in one shot, beside iterative pruning to the same densities.
# Cost: 20 cells: 390 trainings asked, 295 distinct; disk: 428 MB; hours: 14 h of one core (longest chain 47 min),
# estimated on a shared two-core AMD EPYC; seeds 3 and 4 were trained on a shared two-core Xeon.
exec python -m lt_sweeps.main -m experiment=frankle2019 prune=imp,one_shot "$@"
