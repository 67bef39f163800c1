#!/bin/sh
# Induction heads: when a two-layer transformer of attention alone begins to copy from an earlier occurrence, beside
# its ticket at 20 % of the weights, the ticket's mask on fresh weights, and the mask shuffled. Smaller than
# experiment=induction: 32 tokens, sequences of 31, 400 iterations of 32 sequences at a rate of 0.003, one level.
# Then: lt-sweeps reached runs/induction val_token_accuracy 50
# Cost: 15 cells: 30 trainings asked, 20 distinct; disk: 5 MB;
# hours: 4 min of one core, timed on a busy shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    experiment=induction dataset.classes=32 'dataset.shape=[31]' dataset.args.shortest=8 recipe.batch_size=32 \
    recipe.optimizer.args.lr=0.003 recipe.steps=400it recipe.eval_every=10it prune.rate=0.8 prune.levels=1 \
    control=none,reinit,mask_shuffle seed=0,1,2,3,4 \
    "$@"
