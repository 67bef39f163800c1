#!/bin/sh
# Iterative pruning of a two-layer transformer on bytes of Python's own sources, rewound to a twentieth of the training,
# with fresh weights and shuffled masks beside the tickets; a quarter of the iterations of experiment=language.
# Cost: 9 cells: 93 trainings asked, 57 distinct; disk: 29 MB;
# hours: 1.6 h of one core, timed on a busy shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m experiment=language budget.steps=0.25 control=none,reinit,mask_shuffle seed=0,1,2 "$@"
