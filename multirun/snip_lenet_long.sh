#!/bin/sh
# Lee et al. 2019 (SNIP): LeNet-300-100 on MNIST at 95 % sparsity, trained for longer than their code's defaults: with
# momentum, and a tenth of the rate after 25,000 iterations, as the paper has it; its length is not known to us.
# Cost: 5 cells: 10 trainings asked, 10 distinct; disk: 29 MB;
# hours: 25 min of one core, estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    model=lenet_300_100 recipe=snip_lenet_mnist recipe.steps=50000it +recipe.optimizer.args.momentum=0.9 \
    recipe.schedule._target_=torch.optim.lr_scheduler.MultiStepLR '+recipe.schedule.args.milestones=[25000it]' \
    prune=at_init criterion=snip prune.rate=0.95 prune.levels=1 seed=0,1,2,3,4 \
    "$@"
