#!/bin/sh
# Iterative pruning of a small U-Net to 5 % of its weights, on drawn shapes: the class of each pixel, by mean IoU, with
# fresh weights and shuffled masks beside the tickets.
# Cost: 9 cells: 78 trainings asked, 48 distinct; disk: 6 MB;
# hours: 30 min of one core, estimated on a busy shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    model=unet prune.rate=0.45 prune.levels=5 control=none,reinit,mask_shuffle seed=0,1,2 sweep=segmentation "$@"
