#!/bin/sh
# The tangent space (Wentworth 2021): LeNet on MNIST and its first-order expansion, trained alike, over widths; dense,
# and under masks that training the network found, shuffled ones, and on fresh weights, at 20 % of the weights. Smaller
# than experiment=tangent_lenet: three widths, 1,000 iterations, three seeds.
# Cost: 72 cells: 144 trainings asked, 81 distinct; disk: 67 MB;
# hours: 6 min of one core, estimated on a busy shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    experiment=tangent_lenet model.width=0.125,0.5,1 recipe.steps=1000it recipe.eval_every=200it seed=0,1,2 \
    "$@"
