#!/bin/sh
# Minegishi et al. 2023, grokked tickets: when a ticket of a generalised MLP generalises, beside the dense network, the
# dense network rescaled to its norm, and its mask shuffled. Smaller than theirs: addition modulo 43 with half of the
# pairs to train on, embeddings of 64 numbers, a rate of 0.01, 2,000 iterations; theirs is experiment=grokked_tickets.
# Then: lt-sweeps reached runs/grokked_tickets val_accuracy 95
# Cost: 9 cells: 18 trainings asked, 12 distinct; disk: 3 MB;
# hours: 2 min of one core, timed on a busy shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    experiment=grokked_tickets dataset.classes=43 dataset.train=633 dataset.test=270 recipe.validation=181 \
    recipe.batch_size=452 recipe.optimizer.args.lr=0.01 recipe.steps=2000it recipe.eval_every=50it model.args.dim=64 \
    control=none,dense_rescaled,mask_shuffle seed=0,1,2 \
    "$@"
