#!/bin/sh
# Gadhikar & Burkholz 2024: masks found with weight or learning-rate rewinding, and trained with either, on ResNet-20.
# Cost: 12 cells: 276 trainings asked, 177 distinct; disk: 178 MB;
# hours: 349 h of one core (longest chain 24 h), estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m \
    experiment=stabilizing_resnet20 control=none rewind=step,learning_rate find=rewind,learning_rate seed=0,1,2 \
    "$@"
