"""The judge of a release: whether it is worse than what it replaces, from probes alone, stated with its error rate.

What is bet: "this release is fine" says what its next answers look like: they fail at most as often as promised, or as
the release before it does; of two requests sent together, one to each, neither is the slower one. Gamblers who believe
otherwise stake a share of their money on each answer, at odds that are fair if the release is fine. In a fair game no
money can be expected to grow, and by Ville's inequality (1939) it ever reaches a thousand times what it was with
probability at most 1/1000, *whenever one stops to look*: so one may look every second, and stop at the first proof.
Many gamblers with different stakes and beliefs play side by side, and their money is added up, since nobody knows
beforehand what will be wrong; a sum of fair games is a fair game, however they depend on each other. The same bets
turned round, against "it is bad", say when a release may pass. What one second can win is capped, so no blip is proof.
"""
