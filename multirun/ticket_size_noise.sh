#!/bin/sh
# How small a ticket matches against the share of wrong training labels: LeNet of half the width on 12,000 images of
# MNIST. Smaller than experiment=ticket_size says: 500 iterations, half of the weights per level,
# nine levels, five seeds.
# Then: lt-sweeps scaling runs/ticket_size_noise --over corruption.args.fraction
# Cost: 20 cells: 200 trainings asked, 200 distinct; disk: 65 MB;
# hours: 5 min of one core, timed on a busy shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    experiment=ticket_size sweep=ticket_size_noise model.width=0.5 dataset.classes=10 seed=0,1,2,3,4 \
    corruption=label_flip corruption.args.fraction=0.05,0.1,0.2,0.4 \
    recipe.steps=500it recipe.eval_every=125it prune.rate=0.5 prune.levels=9 \
    "$@"
