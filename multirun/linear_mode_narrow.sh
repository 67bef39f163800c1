#!/bin/sh
# Frankle et al. 2020, on a small network: is a ticket stable where it is rewound to iteration 0, 100 or 500? ResNet-20
# of a quarter of the width on CIFAR-10, a twentieth of the paper's iterations, two levels of IMP to 16.8 % of the
# weights; barriers between trainings that differ in their data order, of the dense network and of the ticket.
# Cost: 9 cells: 45 trainings asked, 39 distinct; disk: 6 MB;
# hours: 4 h of one core, estimated on a two-core Intel Xeon.
exec python -m lt_sweeps.main -m \
    experiment=lmc_resnet20 budget=quick budget.steps=0.05 budget.evaluations=10 +model.args.width=0.25 \
    rewind.step=0it,2000it,10000it control=none prune.rate=0.59 prune.levels=2 'prune.shown=[2]' measure=barrier \
    trainer.kernel=channels_last seed=0,1,2 \
    "$@"
