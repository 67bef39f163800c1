#!/bin/sh
# Frankle et al. 2019 (Stabilizing): ResNet-20 at the standard rate, rewound to iteration 500 and to 0, beside masks
# permuted within layers.
# Cost: 12 cells: 276 trainings asked, 183 distinct; disk: 254 MB; hours: 361 h of one core (longest chain 32 h),
# estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m experiment=stabilizing_resnet20 rewind.step=0it,500it "$@"
