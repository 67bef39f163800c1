#!/bin/sh
# The same check of masks found by training (Frankle et al. 2021): IMP on LeNet-300-100 and MNIST down to 2.87 %, each
# level with its mask and with that mask shuffled within layers. At a tenth of the iterations. See at_init_lenet.sh.
# Cost: 10 cells: 245 trainings asked, 165 distinct; disk: 196 MB;
# hours: 55 min of one core (longest chain 6 min), estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    experiment=zhou2019 budget=quick prune.levels=16 control=none,mask_shuffle seed=0,1,2,3,4 \
    "$@"
