#!/bin/sh
# What a ticket is made of: its weights re-initialised or permuted, and its mask permuted within layers or anywhere,
# each beside the ticket itself (the controls of Frankle & Carbin 2019 and Frankle et al. 2020). LeNet-300-100 on
# MNIST.
# Cost: 25 cells: 680 trainings asked, 380 distinct; disk: 583 MB; hours: 18 h of one core (longest chain 47 min),
# estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    model=lenet_300_100 control=none,reinit,shuffle,mask_shuffle,random seed=0,1,2,3,4 \
    "$@"
