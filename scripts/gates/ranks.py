"""Exact rank statistics of a few paired differences: Wilcoxon's signed ranks, and the shift that they estimate.

Pure, and nothing but the standard library. The null hypothesis is that each difference is as likely to be positive as
negative, which a random order within each pair makes true of two services that are alike, whatever the noise.

Sources: Wilcoxon, "Individual comparisons by ranking methods", 1945; Hodges and Lehmann, "Estimates of location based
on rank tests", 1963; Westfall and Young, "Resampling-based multiple testing", 1993 (single-step min-p).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from statistics import median

ENUMERATED = 12  # differences: 2¹² ways to flip their signs are looked at one by one, more are not


def doubled_ranks(values: Sequence[float]) -> list[int]:
    """Give twice the rank of each value's size, from 1; equal ones share the mean of theirs, and a zero has none."""
    sizes = sorted(abs(value) for value in values if value)
    first = {size: place for place, size in reversed(list(enumerate(sizes, 1)))}
    last = {size: place for place, size in enumerate(sizes, 1)}
    return [first[abs(value)] + last[abs(value)] if value else 0 for value in values]


def tail(ranks: Sequence[int]) -> list[float]:
    """Give the probability that the sum of the positive ones' doubled ranks is at least 0, 1, 2, …: exact, by counting.

    Each rank is positive or negative with equal probability.
    """
    ways = [1] + [0] * sum(ranks)
    for rank in ranks:
        if rank:
            ways = [count + (ways[total - rank] if total >= rank else 0) for total, count in enumerate(ways)]
    sums = list(itertools.accumulate(reversed(ways)))
    return [each / sums[-1] for each in reversed(sums)]


def signed_rank_p(values: Sequence[float]) -> float:
    """Give the one-sided p of "they are shifted upwards" by Wilcoxon's signed ranks; 1.0 where there is nothing."""
    ranks = doubled_ranks(values)
    return tail(ranks)[_positive(ranks, values)]


def _positive(ranks: Sequence[int], values: Sequence[float]) -> int:
    return sum(rank for rank, value in zip(ranks, values, strict=True) if value > 0)


def shift(values: Sequence[float]) -> float:
    """Give the Hodges–Lehmann estimate: the median of the means of all pairs, each value with itself too."""
    return median((one + other) / 2 for one, other in itertools.combinations_with_replacement(values, 2))


def family_p(family: Sequence[Sequence[float]]) -> list[float]:
    """Give for each row of values the p of "shifted upwards", corrected for having looked at all the rows.

    Row by row the values belong together: what flips one sign flips those of its whole column. Up to twelve columns all
    flips are counted (min-p of Westfall and Young: exact, and rows that move together cost nothing); for more,
    Bonferroni's bound, which is never smaller.
    """
    each = [signed_rank_p(row) for row in family]
    if not family or len(family[0]) > ENUMERATED:
        return [min(1.0, p * len(family)) for p in each]
    least = _least_of_all_flips(family)
    return [sum(value <= p + 1e-12 for value in least) / len(least) for p in each]


def _least_of_all_flips(family: Sequence[Sequence[float]]) -> list[float]:
    """Give the smallest p among the rows, for each way to flip the signs of the columns."""
    columns = len(family[0])
    least = [1.0] * 2**columns
    for row in family:
        ranks = doubled_ranks(row)
        ps = tail(ranks)
        sums = [0]
        for rank, value in zip(ranks, row, strict=True):  # the sum for each flip, column by column
            kept, flipped = (rank, 0) if value > 0 else (0, rank)
            sums = [total + kept for total in sums] + [total + flipped for total in sums]
        least = [min(before, ps[total]) for before, total in zip(least, sums, strict=True)]
    return least


def as_share(log_ratio: float) -> float:
    """Give a log ratio as a share: 0.1 for a tenth more."""
    return math.expm1(log_ratio)
