#!/bin/sh
# The grid of all questions: network x data x method x criterion x rewind point x what survivors become x seed. It is
# no single paper's. Cells share their dense networks, and chains where a choice has not made a difference yet.
# Cost: 576 cells: 9,216 trainings asked, 8,364 distinct; disk: 250 GB; hours: 72,077 h of one core (longest chain 245
# h), estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    model=resnet20,vgg16 dataset=cifar10,cifar100 prune=imp,one_shot criterion=magnitude,magnitude_increase,random \
    rewind=init,step survivors=rewind,reinit,shuffle,keep seed=0,1,2 \
    "$@"
