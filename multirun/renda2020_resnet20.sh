#!/bin/sh
# Renda, Frankle & Carbin 2020: ResNet-20 on CIFAR-10 by weight rewinding, learning-rate rewinding and fine-tuning.
# Cost: 9 cells: 144 trainings asked, 138 distinct; disk: 149 MB; hours: 495 h of one core (longest chain 60 h),
# estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m experiment=renda_resnet20 "$@"
