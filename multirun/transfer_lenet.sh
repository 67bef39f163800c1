#!/bin/sh
# Morcos et al. 2019, tickets that move: masks found on CIFAR-10 in grey and trained on MNIST, and back; found with SGD
# and trained with Adam, and back. LeNet-300-100 at 5 and 1.6 % of the weights, beside each target's own tickets and
# masks shuffled within layers, 1,500 iterations.
# Cost: 48 cells: 444 trainings asked, 138 distinct; disk: 150 MB;
# hours: 20 min of one core, estimated on a shared two-core AMD EPYC.
set -e
python -m lt_sweeps.main -m experiment=transfer_lenet sweep=transfer_data dataset=mnist,cifar10_grey "$@"
python -m lt_sweeps.main -m experiment=transfer_lenet sweep=transfer_data dataset=mnist find.dataset=cifar10_grey "$@"
python -m lt_sweeps.main -m experiment=transfer_lenet sweep=transfer_data dataset=cifar10_grey find.dataset=mnist "$@"
python -m lt_sweeps.main -m experiment=transfer_lenet sweep=transfer_adam "$@"
python -m lt_sweeps.main -m experiment=transfer_lenet sweep=transfer_adam \
    find.optimizer._target_=torch.optim.SGD 'find.optimizer.args={lr:0.1,momentum:0.9}' "$@"
python -m lt_sweeps.main -m experiment=transfer_lenet sweep=transfer_sgd \
    recipe.optimizer._target_=torch.optim.SGD recipe.optimizer.lr=0.1 recipe.optimizer.momentum=0.9 "$@"
exec python -m lt_sweeps.main -m \
    experiment=transfer_lenet sweep=transfer_sgd recipe.optimizer._target_=torch.optim.SGD recipe.optimizer.lr=0.1 \
    recipe.optimizer.momentum=0.9 find.optimizer._target_=torch.optim.Adam find.optimizer.args.lr=1.2e-3 \
    "$@"
