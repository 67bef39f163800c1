#!/bin/sh
# You et al. 2020, early-bird tickets, on LeNet-300-100 on MNIST at a tenth of the iterations: drawn as soon as the mask
# of the dense training has settled, beside tickets of the whole dense training; kept weights go on, or go back.
# Cost: 36 cells: 90 trainings asked, 48 distinct; disk: 131 MB;
# hours: 22 min of one core, estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m experiment=early_bird "$@"
