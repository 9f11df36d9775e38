"""How long .ci/run will take with more katas, from what it costs now."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Costs:
    """What was measured; seconds are those of one core."""

    claim_seconds: float  # of one claim: a mistake that must be refused, a style that must pass
    claims_per_kata: float
    frameworks_per_kata: float
    solution_seconds: float  # of one kata's solutions, every level in every framework
    test_seconds: float = 0.0  # of the repository's own tests about one kata
    fixed_seconds: float = 0.0  # whatever the number of katas: the environment, lint, the tests of dojo; not divided


def projected(katas: int, costs: Costs, share: float = 0.03, cores: int = 2) -> float:
    """Seconds of .ci/run with so many katas after a change of the harness, which asks for most.

    Args:
        katas: how many there are.
        costs: what was measured.
        share: of the claims, sampled; at least one per kata and framework runs.
        cores: they share everything but the fixed part.
    """
    claims = max(share * costs.claims_per_kata, costs.frameworks_per_kata)
    per_kata = claims * costs.claim_seconds + costs.solution_seconds + costs.test_seconds
    return costs.fixed_seconds + katas * per_kata / cores
