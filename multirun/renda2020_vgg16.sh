#!/bin/sh
# Renda, Frankle & Carbin 2020: VGG-16 on CIFAR-10 by weight rewinding, learning-rate rewinding and fine-tuning.
# Cost: 9 cells: 144 trainings asked, 138 distinct; disk: 7.5 GB; hours: 2,606 h of one core (longest chain 316 h),
# estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m experiment=renda_vgg16 "$@"
