#!/bin/sh
# How small a ticket matches: LeNet of four widths on two, four, seven and ten classes of MNIST, with as many images.
# Smaller than experiment=ticket_size: 500 iterations, half of the weights per level, nine levels, five seeds.
# Then: lt-sweeps scaling runs/ticket_size --over model.width; lt-sweeps scaling runs/ticket_size --over dataset.classes
# Cost: 80 cells: 800 trainings asked, 800 distinct; disk: 534 MB;
# hours: 20 min of one core, estimated on a busy shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    experiment=ticket_size model.width=0.25,0.5,1,2 dataset.classes=2,4,7,10 seed=0,1,2,3,4 \
    recipe.steps=500it recipe.eval_every=125it prune.rate=0.5 prune.levels=9 \
    "$@"
