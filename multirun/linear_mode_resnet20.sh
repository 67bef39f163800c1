#!/bin/sh
# Frankle et al. 2020 (linear mode connectivity): the trainings of ResNet-20 rewound to iteration 500 and to 0, and of
# what the paper compares with. Instability itself is not measured by this sweep.
# Cost: 18 cells: 456 trainings asked, 273 distinct; disk: 358 MB; hours: 843 h of one core (longest chain 50 h),
# estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m experiment=lmc_resnet20 rewind.step=0it,500it seed=0,1,2 "$@"
