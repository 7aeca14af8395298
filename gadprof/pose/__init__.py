"""The pose method: data, targets, training, evaluation and redundancy (extra gadprof[pose])."""
