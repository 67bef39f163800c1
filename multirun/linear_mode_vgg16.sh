#!/bin/sh
# Frankle et al. 2020 (linear mode connectivity): the trainings of VGG-16 rewound to iteration 1,000 and to 0, and of
# what the paper compares with. Instability itself is not measured by this sweep.
# Cost: 18 cells: 456 trainings asked, 273 distinct; disk: 16 GB; hours: 4,179 h of one core (longest chain 247 h),
# estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m experiment=lmc_vgg16 rewind.step=0it,1000it seed=0,1,2 "$@"
