#!/bin/sh
# He et al. 2022, sparse double descent: accuracy over density with a fifth of the training labels wrong, of tickets
# that are rewound, whose learning rate is rewound, and that are fine-tuned, and of their masks on fresh weights.
# Smaller than experiment=sparse_double_descent: 4,000 training images, 1,250 iterations (40 epochs), half of the
# weights per level.
# Cost: 18 cells: 252 trainings asked, 162 distinct; disk: 90 MB;
# hours: 6 min of one core, estimated on a busy shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    experiment=sparse_double_descent budget.train_examples=4000 recipe.steps=1250it recipe.eval_every=250it \
    prune.rate=0.5 prune.levels=9 \
    "$@"
