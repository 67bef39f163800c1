#!/bin/sh
# Zhou et al. 2019, mask-0 actions: what pruned weights become, zero or frozen by how training moved them, and the
# controls of that rule. LeNet-300-100 on MNIST at a tenth of the iterations.
# Cost: 25 cells: 225 trainings asked, 205 distinct; disk: 387 MB;
# hours: 1 h of one core (longest chain 3 min), estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    experiment=zhou2019 budget=quick prune.levels=8 \
    pruned=zero,freeze,zero_if_shrunk,zero_at_random,zero_if_grown seed=0,1,2,3,4 \
    "$@"
