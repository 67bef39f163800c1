#!/bin/sh
# Frankle et al. 2019 (Stabilizing): VGG-19 at the standard rate, rewound to iteration 100 and to 0, beside masks
# permuted within layers.
# Cost: 12 cells: 276 trainings asked, 183 distinct; disk: 21 GB; hours: 3,491 h of one core (longest chain 305 h),
# estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m experiment=stabilizing_vgg19 rewind.step=0it,100it "$@"
