#!/bin/sh
# Frankle & Carbin 2019, section 4: VGG-19 on CIFAR-10 at the standard rate, at a tenth of it, and with warm-up.
# Cost: 30 cells: 690 trainings asked, 465 distinct; disk: 64 GB; hours: 8,873 h of one core (longest chain 305 h),
# estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    experiment=frankle2019 model=vgg19 recipe=vgg19_cifar10,vgg19_cifar10_low,vgg19_cifar10_warmup \
    "$@"
