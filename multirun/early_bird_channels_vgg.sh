#!/bin/sh
# You et al. 2020, early-bird tickets of channels, as there: the dense training has the slimming penalty and ends when
# the mask of the largest scales of batch normalisation has settled. A small VGG-11 (an eighth of the channels) on 1,000
# examples of CIFAR-10, 10 epochs of 31 iterations, beside the ticket of the whole dense training; half of the channels
# are pruned. `lt-sweeps ticket slim` then makes smaller networks of the tickets.
# Cost: 6 cells: 15 trainings asked, 12 distinct; disk: 23 MB;
# hours: 10 min of one core, estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m experiment=early_bird_channels "$@"
