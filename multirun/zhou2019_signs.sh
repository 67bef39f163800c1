#!/bin/sh
# Zhou et al. 2019, Figure 4: what kept weights become between rounds, each with its sign or without. LeNet-300-100 on
# MNIST at a tenth of the iterations, pruned to 3.5 %.
# Cost: 35 cells: 560 trainings asked, 530 distinct; disk: 626 MB;
# hours: 2.6 h of one core (longest chain 5 min), estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    experiment=zhou2019 budget=quick prune.levels=15 \
    survivors=rewind,reinit,reinit_signed,shuffle,shuffle_signed,constant,constant_signed seed=0,1,2,3,4 \
    "$@"
