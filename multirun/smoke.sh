#!/bin/sh
# Every moving part once, on a CPU and without a download: both methods, four ways to rewind, and a control, 8
# iterations each. Its accuracies mean nothing.
# Cost: 16 cells: 52 trainings asked, 17 distinct; disk: 2.7 MB; hours: under a minute of one core, nearly all of it
# to start.
exec python -m lt_sweeps.main -m \
    budget=smoke model=lenet_digits prune=imp,one_shot rewind=init,step,learning_rate,finetune \
    control=none,reinit sweep=smoke \
    "$@"
