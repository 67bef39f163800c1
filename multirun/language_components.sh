#!/bin/sh
# Which component of the small transformer of language.sh holds its ticket? Attention, MLPs, embeddings or the output
# alone are pruned, in three levels to 4.7 % of their weights, and the rest stays dense; shown is the last level.
# Cost: 36 cells: 144 trainings asked, 72 distinct; disk: 90 MB;
# hours: 45 min of one core, timed on two of four parts on a busy two-core Intel Xeon.
set -e
python -m lt_sweeps.main -m experiment=language budget.steps=0.25 prune.rate=0.64 prune.levels=3 'prune.shown=[3]' \
    control=none,reinit,mask_shuffle seed=0,1,2 \
    "prune.exclude=['*.mlp.*',output.weight]" sweep=language_attention \
    "$@"
python -m lt_sweeps.main -m experiment=language budget.steps=0.25 prune.rate=0.64 prune.levels=3 'prune.shown=[3]' \
    control=none,reinit,mask_shuffle seed=0,1,2 \
    "prune.exclude=['*.attention.*',output.weight]" sweep=language_mlp \
    "$@"
python -m lt_sweeps.main -m experiment=language budget.steps=0.25 prune.rate=0.64 prune.levels=3 'prune.shown=[3]' \
    control=none,reinit,mask_shuffle seed=0,1,2 \
    "prune.exclude=['*.attention.*','*.mlp.*',output.weight]" 'prune.include=[embedding.weight]' \
    sweep=language_embeddings \
    "$@"
exec python -m lt_sweeps.main -m experiment=language budget.steps=0.25 prune.rate=0.64 prune.levels=3 \
    'prune.shown=[3]' \
    control=none,reinit,mask_shuffle seed=0,1,2 \
    "prune.exclude=['*.attention.*','*.mlp.*']" sweep=language_output \
    "$@"
