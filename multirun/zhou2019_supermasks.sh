#!/bin/sh
# Zhou et al. 2019, Figure 7: masks of LeNet-300-100 on MNIST, cut at once from the trained network at 24 densities, and
# what the untrained weights are worth under them, with their own sizes or a constant with their signs. Only the dense
# networks are trained. What it came to lies in zhou2019_supermasks/.
# Cost: 45 cells: 1,125 trainings asked, 1,085 distinct; disk: 235 MB;
# hours: 20 min of one core, most of it the 5 dense networks (3 min each), estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    experiment=zhou2019 prune=one_shot prune.levels=24 train=untrained \
    criterion=magnitude,large_final_same_sign,random survivors=rewind,constant,constant_signed \
    seed=0,1,2,3,4 \
    "$@"
