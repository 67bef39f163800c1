#!/bin/sh
# What is it about a ticket's values? LeNet-300-100 on MNIST, a tenth of the iterations, three seeds. Beside each ticket
# the same mask on: its values scaled to the mask's density, permuted with and without their signs, with a tenth of the
# signs flipped, of constant size; on fresh weights, of the dense scale, of the sparse scale, and with the ticket's
# signs; and the mask shuffled. Then the same scaling inside the chain, so that masks are found from scaled weights.
# Cost: 36 cells: 522 trainings asked, 195 distinct; disk: 268 MB; hours: 50 min of one core.
set -e
python -m lt_sweeps.main -m \
    model=lenet_300_100 budget=quick prune.levels=12 'prune.shown=[3,7,12]' sweep=values_lenet seed=0,1,2 \
    control=none,density_scaled,shuffle,shuffle_signed,sign_flip,constant_signed,reinit,reinit_density_scaled,\
reinit_signed,mask_shuffle \
    "$@"
exec python -m lt_sweeps.main -m \
    model=lenet_300_100 budget=quick prune.levels=12 'prune.shown=[3,7,12]' sweep=values_lenet seed=0,1,2 \
    survivors=density_scaled ++survivors.args.scope=layer,global \
    "$@"
