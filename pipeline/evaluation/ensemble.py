"""Mean of the probabilities of several classifiers, equal or with weights that are fitted on `select`.

Fitted weights would flatter the very rows they were fitted on. So each fold of `select` is predicted with weights
that were fitted on the other folds; other splits get the weights fitted on all of `select`.
"""

import numpy as np

from pipeline.evaluation.predictions import Floats, Integers

FOLDS = 5
EM_STEPS = 5000
FLOOR = 5e-7  # probabilities are written with 6 decimals: 0.000000 is anything below this


def mixed(weights: Floats, probabilities: Floats) -> Floats:
    """Weighted mean (rows, classes) of probabilities (members, rows, classes); weights are (members,)."""
    return np.tensordot(weights, probabilities, axes=1)


def fit_weights(probabilities: Floats, labels: Integers) -> Floats:
    """Weights (members,) on the simplex that minimise the log loss of the mixture: maximum likelihood by EM.

    Of probabilities (members, rows, classes) and labels (rows,). An EM step multiplies each weight by its entry of g,
    the gradient of the mean log-likelihood. The problem is convex and no weights can gain more than max(g) - 1 nats
    (which tests check). A solver that stops by a tolerance would stop elsewhere on another type of CPU.
    """
    likelihood = np.maximum(probabilities[:, np.arange(len(labels)), labels], FLOOR)  # (members, rows)
    weights = np.full(len(likelihood), 1 / len(likelihood))
    for _ in range(EM_STEPS):
        weights *= (likelihood / (weights @ likelihood)).mean(axis=1)
    return weights / weights.sum()


def folds_of(rows: int, seed: int) -> Integers:
    """Fold of each row (rows,), at random and of equal size."""
    return np.random.default_rng(seed).permutation(np.arange(rows) % FOLDS)


def cross_fitted(probabilities: Floats, labels: Integers, folds: Integers) -> Floats:
    """Mixture (rows, classes) in which no row's own label had a part in its weights; arguments as in `fit_weights`."""
    result = np.empty(probabilities.shape[1:])
    for fold in np.unique(folds):
        own = folds == fold
        result[own] = mixed(fit_weights(probabilities[:, ~own], labels[~own]), probabilities[:, own])
    return result
