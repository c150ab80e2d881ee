"""Mean of the probabilities of several classifiers, equal or with weights that are fitted or picked on `select`.

Each fold of `select` is predicted with weights fitted on the others: they would flatter the rows they were fitted on.
"""

from collections.abc import Callable

import numpy as np

from pipeline.evaluation.predictions import Floats, Integers

FLOOR = 5e-7  # probabilities are written with 6 decimals: 0.000000 is anything below this
PICKS = 100  # of `greedy_weights`, after the first members


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


def greedy_weights(probabilities: Floats, labels: Integers) -> Floats:
    """Shares (members,) of the picks of ensemble selection with replacement (Caruana et al. 2004), as `fit_weights`.

    It begins with the best members, as many as give the lowest log loss, and adds the one that gives the lowest loss
    PICKS times. Of all ensembles on the way the best is taken, of equal ones the first.
    """
    likelihood = np.maximum(probabilities[:, np.arange(len(labels)), labels], FLOOR)  # (members, rows)

    def losses(sums: Floats, members: Floats | float) -> Floats:  # rounded: no choice hangs on a last digit
        return -np.log(sums / members).mean(axis=1).round(9)

    order = np.argsort(losses(likelihood, 1), kind="stable")
    found = losses(likelihood[order].cumsum(axis=0), np.arange(1.0, len(order) + 1)[:, None])
    counts = np.bincount(order[: found.argmin() + 1], minlength=len(order)).astype(np.float64)
    tried = {float(found.min()): counts}
    for _ in range(PICKS):
        found = losses(counts @ likelihood + likelihood, counts.sum() + 1)
        counts = counts + (np.arange(len(counts)) == found.argmin())
        tried.setdefault(float(found.min()), counts)
    best = tried[min(tried)]
    return best / best.sum()


FITS: dict[str, Callable[[Floats, Integers], Floats]] = {"fitted": fit_weights, "greedy": greedy_weights}


def cross_fitted(probabilities: Floats, labels: Integers, seed: int, weights: str = "fitted") -> Floats:
    """Mixture (rows, classes) in which no row's own label had a part in its weights, a key of FITS."""
    folds = np.random.default_rng(seed).permutation(np.arange(len(labels)) % 5)
    result = np.empty(probabilities.shape[1:])
    for fold in np.unique(folds):
        own = folds == fold
        result[own] = mixed(FITS[weights](probabilities[:, ~own], labels[~own]), probabilities[:, own])
    return result
