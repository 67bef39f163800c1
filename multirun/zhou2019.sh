#!/bin/sh
# Zhou et al. 2019: the trainings that their masks, supermasks and treatments are made of, by both of their criteria
# that are here, and with survivors rewound, permuted or re-initialised. LeNet-300-100 on MNIST, 24 rounds.
# Cost: 30 cells: 750 trainings asked, 725 distinct; disk: 754 MB; hours: 35 h of one core (longest chain 73 min),
# estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    experiment=zhou2019 prune.levels=24 criterion=magnitude,magnitude_increase \
    survivors=rewind,shuffle,reinit seed=0,1,2,3,4 \
    "$@"
