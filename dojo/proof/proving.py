"""One engine for all claims: runs what is not proven and a sample of the rest, and believes what is left."""

import math
import random
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dojo.grading import KataResult, State, timed_out
from dojo.keys import Key
from dojo.proof.claims import PASSES, Claim, refused_at
from dojo.proof.ledger import Entry, Ledger
from dojo.running.runner import Runner

SHARE = 0.03  # of the proven claims that run all the same


@dataclass
class Proof:
    """What a run of the engine came to."""

    ran: list[Claim] = field(default_factory=list)
    believed: list[Claim] = field(default_factory=list)
    entries: dict[Claim, Entry] = field(default_factory=dict)  # how each claim ended, by this run or by the ledger
    complaints: list[str] = field(default_factory=list)  # claims that do not hold, disagreements, runs without an end
    left: list[Claim] = field(default_factory=list)  # claims that did not get their turn before Ctrl-C


def prove(
    claims: list[Claim],
    ledger: Ledger,
    seed: str,
    everything: bool = False,
    follow: Callable[[Iterable, int], Iterable] = lambda results, total: results,
    tell: Callable[[Claim, Entry], None] = lambda claim, entry: None,
) -> Proof:
    """Run what must run, judge it, and write down what is proven.

    Args:
        claims: what is claimed.
        ledger: what was proven before; what this run proves is added, and saved also when it is interrupted.
        seed: the sample is drawn from it: the commit's hash.
        everything: believe nothing.
        follow: wraps the results as they come, for a progress bar.
        tell: is called with each claim that ran.
    """
    keys = {claim: claim.key() for claim in claims}
    proven = [claim for claim in claims if is_proven(ledger.entry(claim), keys[claim]) and not everything]
    chosen = set(claims) - set(proven) | sample(proven, keys, ledger, seed)
    proof = Proof(believed=[claim for claim in proven if claim not in chosen])
    proof.entries = {claim: ledger.entry(claim) for claim in proof.believed}
    waiting = [claim for claim in claims if claim in chosen]
    with tempfile.TemporaryDirectory(prefix="dojo-proof-") as folder, Runner() as runner:
        jobs = {claim.job(Path(folder) / str(number)): claim for number, claim in enumerate(waiting)}
        try:
            for job, result in follow(runner.run(jobs), len(jobs)):
                claim = jobs[job]
                _judge(claim, keys[claim], result, ledger, proof, known=claim in proven)
                tell(claim, proof.entries[claim])
        except KeyboardInterrupt:
            proof.left = [claim for claim in waiting if claim not in proof.entries]
        finally:
            ledger.save()
    return proof


def is_proven(entry: Entry | None, key: Key) -> bool:
    """A change of the kata's own files voids an entry; one of the harness only makes the sample larger."""
    return entry is not None and entry.own == key.own


def sample(proven: list[Claim], keys: dict[Claim, Key], ledger: Ledger, seed: str) -> set[Claim]:
    """Which proven claims run all the same: a share of all, and one at least of each kata and framework whose harness
    is another than the one that any of its entries was proven under."""
    generator = random.Random(seed)
    drawn = set(generator.sample(proven, math.ceil(SHARE * len(proven))))
    groups: dict[tuple, list[Claim]] = {}
    for claim in proven:
        groups.setdefault((claim.kata, claim.framework), []).append(claim)
    for members in groups.values():
        confirmed = any(ledger.entry(claim).harness == keys[claim].harness for claim in members)
        if not confirmed and not drawn & set(members):
            drawn.add(generator.choice(members))
    return drawn


def _judge(claim: Claim, key: Key, result: KataResult, ledger: Ledger, proof: Proof, known: bool) -> None:
    """Compare what came with what is claimed, and with the ledger where it is said to be `known`."""
    proof.ran.append(claim)
    told = diagnosis_of(result)
    entry = Entry.under(key, verdict_of(result), claim.says in told if claim.says else None)
    proof.entries[claim] = entry
    before = ledger.entry(claim)
    complaint = complaint_about(claim, result, told)
    if known and before.verdict != entry.verdict:
        anew = f"Prove the kata anew: nox -s {SESSIONS[claim.kind]} -- {claim.kata.slug} --all"
        complaint = f"{claim}: the ledger says {before.verdict!r}, and now it is {entry.verdict!r}. {anew}"
    if complaint:
        proof.complaints.append(complaint)
        ledger.strike(claim)
    elif not timed_out(result):
        ledger.write_down(claim, entry)
    elif not known:
        ledger.strike(claim)  # what it says was proven of other files


SESSIONS = {"mistake": "mistakes", "style": "solutions", "solution": "solutions", "mutant": "mutants"}


def verdict_of(result: KataResult) -> str:
    """How a job ended, in the words in which claims state it."""
    first = result.first_open
    if result.state is State.ERROR:
        return "harness error"
    if first is None:
        return PASSES if result.state is State.PASSED else str(result.state)
    return refused_at(first.number)


def complaint_about(claim: Claim, result: KataResult, told: str) -> str:
    """What is wrong with a result; '' where it is as claimed."""
    came = verdict_of(result)
    if result.state is State.ERROR or (claim.verdict and came != claim.verdict):
        because = next((test.message for test in _tests(result) if test.message), result.message)
        wanted = claim.verdict or "refused"
        return f"{claim} should be {wanted!r} and is {came!r}: {because}"
    if claim.kind == "style" and (wrong := _diagnosed_but_at(result, claim.verdict)):
        return f"{claim} is right, and is diagnosed: {wrong}"
    if claim.says and told and claim.says not in told:
        return f"{claim} is diagnosed as another mistake: {told}"
    return ""


def _diagnosed_but_at(result: KataResult, verdict: str) -> str:
    """The diagnosis of a right solution, but at the level where a slow one must stop: there it may be true."""
    return "".join(test.diagnosis for test in _tests(result) if refused_at(test.level) != verdict)


def diagnosis_of(result: KataResult) -> str:
    return "".join(test.diagnosis for test in _tests(result))


def _tests(result: KataResult) -> list:
    return [test for level in result.levels for test in level.tests]
