#!/bin/sh
# Frankle & Carbin 2019, section 4: ResNet-20 (their ResNet-18) on CIFAR-10 at the standard rate, at a tenth of it,
# and with warm-up.
# Cost: 30 cells: 690 trainings asked, 465 distinct; disk: 801 MB; hours: 926 h of one core (longest chain 32 h),
# estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    experiment=frankle2019 model=resnet20 recipe=resnet20_cifar10,resnet20_cifar10_low,resnet20_cifar10_warmup \
    "$@"
