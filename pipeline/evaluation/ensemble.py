"""Mean of the probabilities of several classifiers, equal or with weights that are fitted on `select`.

Each fold of `select` is predicted with weights fitted on the others: they would flatter the rows they were fitted on.
"""

import numpy as np

from pipeline.evaluation.predictions import Floats, Integers

FLOOR = 5e-7  # probabilities are written with 6 decimals: 0.000000 is anything below this


def mixed(weights: Floats, probabilities: Floats) -> Floats:
    """Weighted mean (rows, classes) of probabilities (members, rows, classes); weights are (members,)."""
    return (weights[:, None, None] * probabilities).sum(axis=0)  # not BLAS, which adds otherwise on other CPUs


def fit_weights(probabilities: Floats, labels: Integers) -> Floats:
    """Weights (members,) on the simplex that minimise the log loss of the mixture: maximum likelihood by EM.

    Of probabilities (members, rows, classes) and labels (rows,). A step multiplies the weights by g, the gradient of
    the mean log-likelihood; none can gain more than max(g) - 1 nats. A tolerance would stop elsewhere on another CPU.
    """
    likelihood = np.maximum(probabilities[:, np.arange(len(labels)), labels], FLOOR)  # (members, rows)
    weights = np.full(len(likelihood), 1 / len(likelihood))
    for _ in range(5000):
        weights *= (likelihood / (weights @ likelihood)).mean(axis=1)
    return weights / weights.sum()


def cross_fitted(probabilities: Floats, labels: Integers, seed: int) -> Floats:
    """Mixture (rows, classes) in which no row's own label had a part in its weights; arguments as in `fit_weights`."""
    folds = np.random.default_rng(seed).permutation(np.arange(len(labels)) % 5)
    result = np.empty(probabilities.shape[1:])
    for fold in np.unique(folds):
        own = folds == fold
        result[own] = mixed(fit_weights(probabilities[:, ~own], labels[~own]), probabilities[:, own])
    return result
