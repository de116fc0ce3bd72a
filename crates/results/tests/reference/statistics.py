#!/usr/bin/env python3
"""Writes statistics.json: samples and what SciPy, NumPy and statsmodels say of them.

    pip install scipy==1.17.1 numpy==2.4.6 statsmodels==0.15.0
    python3 statistics.py > statistics.json
"""
import json
import sys

import numpy
import scipy
import statsmodels
from scipy import stats
from statsmodels.stats.multitest import multipletests

EXACT = 25  # differences that are not zero, up to which the signed-rank test is exact


def signed_rank(differences):
    left = differences[differences != 0]
    ties = len(set(abs(left))) < len(left)
    if len(left) == 0:
        return 1.0
    if len(left) > EXACT:
        return stats.wilcoxon(left, method="asymptotic", correction=False).pvalue
    if not ties:
        return stats.wilcoxon(left, method="exact").pvalue
    assert len(left) <= 16, "every way to draw the signs is tried"
    every = stats.PermutationMethod(n_resamples=2 ** len(left))
    return stats.wilcoxon(left, method=every).pvalue


def paired(name, first, second):
    first, second = numpy.array(first, float), numpy.array(second, float)
    differences = first - second
    test = stats.ttest_rel(first, second)
    interval = test.confidence_interval(0.95)
    quartiles = numpy.quantile(first, [0, 0.25, 0.5, 0.75, 1])
    ranks = stats.rankdata(abs(differences[differences != 0]))
    signs = numpy.sign(differences[differences != 0])
    return {
        "name": name,
        "first": first.tolist(),
        "second": second.tolist(),
        "first_mean": first.mean(),
        "first_deviation": first.std(ddof=1),
        "first_interval": list(stats.t.interval(0.95, len(first) - 1, first.mean(), stats.sem(first))),
        "first_quantiles": quartiles.tolist(),
        "mean": differences.mean(),
        "deviation": differences.std(ddof=1),
        "interval": [interval.low, interval.high],
        "p": test.pvalue,
        "signed_rank_p": signed_rank(differences),
        "effect": differences.mean() / differences.std(ddof=1),
        "rank_correlation": float((ranks * signs).sum() / ranks.sum()),
    }


def main():
    draw = numpy.random.default_rng(7)
    base = draw.normal(30e9, 2e9, 12).round()
    large = draw.lognormal(20, 1, 1000).round()
    few = numpy.zeros(1000)
    few[draw.choice(1000, 27, replace=False)] = 1
    samples = [
        paired("two seeds", [3, 5], [4, 9]),
        paired("sleep of ten patients (Student 1908)",
               [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0],
               [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]),
        paired("times of a dozen seeds", base, (base + draw.normal(-0.4e9, 0.8e9, 12)).round()),
        paired("faults, with ties and zeros", draw.poisson(3, 16), draw.poisson(4, 16)),
        paired("twenty-five seeds", draw.normal(0, 1, 25), draw.normal(0.5, 1, 25)),
        paired("faults of sixty seeds", draw.poisson(2, 60), draw.poisson(3, 60)),
        paired("a thousand skewed times", large, (large * draw.normal(0.99, 0.1, 1000)).round()),
        paired("equal but for a few seeds", few + 1, few * 0 + 1),
        paired("far apart", draw.normal(10, 1, 100), draw.normal(0, 1, 100)),
    ]
    p_values = [[0.01, 0.04, 0.03, 0.005], [0.2], [0.05] * 4, [1, 0, 0.5, 1e-30, 0.5],
                draw.uniform(0, 0.1, 40).tolist()]
    quantiles = [{"degrees": degrees, "quantile": stats.t.ppf(0.975, degrees)}
                 for degrees in [1, 2, 3, 4, 9, 29, 99, 999, 99_999]]
    holm = [{"p": p, "corrected": multipletests(p, method="holm")[1].tolist()} for p in p_values]
    versions = {"python": sys.version.split()[0], "scipy": scipy.__version__,
                "numpy": numpy.__version__, "statsmodels": statsmodels.__version__}
    json.dump({"versions": versions, "samples": samples, "holm": holm,
               "student_quantiles": quantiles}, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
