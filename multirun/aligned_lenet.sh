#!/bin/sh
# Adnan et al. 2025: masks on another draw, as they are (naive) and with their units permuted to match it; LeNet-300-100
# on MNIST at 5, 2.8 and 1.6 % of the weights, 1,500 iterations. Beside them the native ticket and two controls: units
# permuted at random, which keeps all degrees, and masks shuffled within layers, which keeps their counts alone.
# Cost: 25 cells: 260 trainings asked, 107 distinct; disk: 147 MB;
# hours: 14 min of one core, timed on a shared two-core AMD EPYC.
set -e
python -m lt_sweeps.main -m experiment=aligned_lenet "$@"
python -m lt_sweeps.main -m experiment=aligned_lenet find.seeds.offset=1 control=mask_shuffle "$@"
exec python -m lt_sweeps.main -m \
    experiment=aligned_lenet find.seeds.offset=1 transfer=none,weight_matching,random_units \
    "$@"
