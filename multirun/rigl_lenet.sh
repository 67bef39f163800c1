#!/bin/sh
# Dynamic sparse training beside its static control: RigL (Evci et al. 2020) and SET (Mocanu et al. 2018) on random ERK
# masks of LeNet-300-100 on MNIST, at 95 and 98 % sparsity, a tenth of the iterations.
# Cost: 18 cells: 36 trainings asked, 21 distinct; disk: 17 MB;
# hours: 5 min of one core, estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    experiment=zhou2019 budget=quick prune=at_init criterion=random allocation=erk prune.rate=0.95,0.98 prune.levels=1 \
    hook=none,set,rigl hook.every=1000it hook.begin=1000it hook.until=75% control=none seed=0,1,2 \
    "$@"
