"""From the rounds of a real run, as they were or with a defect planted, to verdicts.

`measured.json` is what `./run_ducktape.sh --rounds 6 --strategies sync,async,confluent-aio,aiokafka` wrote on two cores
that others used, too. Its `async` ran on the pure transport.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systest.gates import Gate, GateVerdict, load_gates
from systest.metrics import METRICS, RoundFigures
from systest.metrics.verdict import Bound, Verdict
from systest.options import RunOptions
from systest.reports import RoundResult, RunResult, StrategyResult, gate_failures

ROOT = Path(__file__).parents[3]
MEASURED = RunResult.from_json((Path(__file__).parent / "measured.json").read_text("utf-8"))
GATES = load_gates(ROOT / RunOptions().gates)
AT_LEAST_10 = Gate(
    "impossible", "async", "throughput.records_per_s", Bound(10, True), "sync", "saturate", "it can't be"
)

Change = Callable[[RoundResult], RoundResult]


def with_strategies(run: RunResult, strategies: Iterable[StrategyResult]) -> RunResult:
    """The run with others in its only part, that of plain records."""
    [part] = run.parts
    return dataclasses.replace(run, parts=(dataclasses.replace(part, strategies=tuple(strategies)),))


def planted(name: str, change: Change, run: RunResult = MEASURED) -> RunResult:
    """The run with every round of one strategy changed."""
    changed = [
        dataclasses.replace(each, rounds=tuple(change(one) for one in each.rounds))
        if each.name == name
        else each
        for each in run.parts[0].strategies
    ]
    return with_strategies(run, changed)


def figures(change: Callable[[RoundFigures], RoundFigures]) -> Change:
    return lambda one: dataclasses.replace(one, figures=change(one.figures))


def at_rate_times(by: float) -> Change:
    """With its rate so many times as high."""

    def change(old: RoundFigures) -> RoundFigures:
        rate = old.throughput.records_per_s * by
        return dataclasses.replace(old, throughput=dataclasses.replace(old.throughput, records_per_s=rate))

    return figures(change)


def first_rounds(count: int, run: RunResult = MEASURED) -> RunResult:
    cut = [dataclasses.replace(each, rounds=each.rounds[:count]) for each in run.parts[0].strategies]
    return with_strategies(run, cut)


def verdict(run: RunResult, gate: str | Gate) -> GateVerdict:
    chosen = gate if isinstance(gate, Gate) else next(each for each in GATES if each.name == gate)
    [found] = dataclasses.replace(run, gates=(chosen,)).verdicts()
    return found


def test_run__as_it_was__fails_no_gate_of_this_repository() -> None:
    judged = dataclasses.replace(MEASURED, gates=GATES)
    assert gate_failures(judged) == []
    assert verdict(MEASURED, "async-pure-throughput").verdict is Verdict.MET


def test_run__half_as_fast__is_not_met_with_its_figures_and_wrong_under_no_other_name() -> None:
    slow = dataclasses.replace(planted("async", at_rate_times(0.5)), gates=GATES)
    found = verdict(slow, "async-pure-throughput")
    assert (found.verdict, found.is_failure) == (Verdict.NOT_MET, True)
    sentence = next(each for each in gate_failures(slow) if "async-pure-throughput failed" in each)
    assert sentence == (
        "gate async-pure-throughput failed: 0.48x [0.42 to 0.58] of sync, at least 0.75x wanted "
        "(async, send rate, records/s)"
    )
    assert not any("cpu" in each or "lag" in each for each in gate_failures(slow))


@pytest.mark.parametrize("rounds", [3, 4, 5, 6])
def test_gate__impossible__is_not_met_in_as_few_rounds_as_the_main_job_has(rounds: int) -> None:
    assert verdict(first_rounds(rounds), AT_LEAST_10).verdict is Verdict.NOT_MET


@pytest.mark.parametrize("rounds", [1, 2])
def test_gate__with_fewer_rounds_than_show_the_noise__is_undecided_and_fails_nothing(rounds: int) -> None:
    found = verdict(first_rounds(rounds), AT_LEAST_10)
    assert (found.verdict, found.is_failure, found.low) == (Verdict.UNDECIDED, False, None)
    assert found.why == "3 rounds or more show the noise"


def test_gate__that_the_noise_could_explain__is_undecided_and_fails_nothing() -> None:
    # p99 of a saturated shared machine goes from a third of the other's to nearly four times.
    p99 = Gate("p99", "async", "latency.p99_ms", Bound(3), "sync", "saturate", "to see it left open")
    found = verdict(MEASURED, p99)
    assert (found.verdict, found.is_failure) == (Verdict.UNDECIDED, False)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 3 < found.high


def test_gate__of_another_workload_or_of_who_did_not_run__is_not_judged_and_fails_nothing() -> None:
    other = verdict(MEASURED, "async-pure-p99")
    assert (other.verdict, other.is_failure) == (Verdict.NOT_JUDGED, False)
    assert other.why == "the gate is for open:1000, and this run was saturate"
    few = with_strategies(MEASURED, MEASURED.parts[0].strategies[:2])
    absent = verdict(few, "async-pure-throughput-over-aiokafka")
    assert (absent.verdict, absent.is_failure, absent.why) == (
        Verdict.NOT_JUDGED,
        False,
        "aiokafka did not run",
    )


def test_gate__of_other_records__is_judged_by_those_alone_and_not_where_nobody_sent_them() -> None:
    gate = dataclasses.replace(AT_LEAST_10, records="service")
    other = verdict(MEASURED, gate)
    assert (other.verdict, other.is_failure) == (Verdict.NOT_JUDGED, False)
    assert other.why == "the gate is for service records, and this run had plain"
    [plain] = MEASURED.parts
    [fast] = planted("async", at_rate_times(100)).parts
    both = dataclasses.replace(MEASURED, parts=(plain, dataclasses.replace(fast, records="service")))
    assert verdict(both, gate).verdict is Verdict.MET
    assert verdict(both, AT_LEAST_10).verdict is Verdict.NOT_MET


def on(transport: str | None, name: str, run: RunResult = MEASURED) -> RunResult:
    """The run with `async` under a name, and with what its producer said of its transport."""
    changed = [
        dataclasses.replace(each, name=name, transport=transport) if each.name == "async" else each
        for each in run.parts[0].strategies
    ]
    return with_strategies(run, changed)


def test_gate__of_the_compiled_transport__is_judged_where_that_ran_and_by_nothing_else() -> None:
    assert verdict(on("compiled", "async"), "async-cpu").verdict is Verdict.NOT_MET
    pure, old = verdict(MEASURED, "async-cpu"), verdict(on(None, "async"), "async-cpu")
    assert (pure.verdict, pure.is_failure) == (old.verdict, old.is_failure) == (Verdict.NOT_JUDGED, False)
    assert pure.why == "the gate is for the compiled transport, and async ran on the pure one"
    assert old.why == "the gate is for the compiled transport, and async did not say which it had"


def test_gate__of_async_pure__is_judged_by_async_where_that_was_the_same_and_by_no_compiled_one() -> None:
    own = verdict(on("pure", "async-pure"), "async-pure-throughput")
    alias = verdict(MEASURED, "async-pure-throughput")
    assert (own.gate.strategy, alias.gate.strategy) == ("async-pure", "async")
    assert (own.verdict, own.value) == (alias.verdict, alias.value) == (Verdict.MET, alias.value)
    other = verdict(on("compiled", "async"), "async-pure-throughput")
    assert (other.verdict, other.why) == (Verdict.NOT_JUDGED, "async-pure did not run")


def test_gate__whose_strategy_gave_no_figure__fails_with_the_reason() -> None:
    def without_lag(old: RoundFigures) -> RoundFigures:
        return dataclasses.replace(
            old, loop_lag=None, why_not={**old.why_not, "loop_lag": "the loop never got to its timer"}
        )

    found = verdict(planted("async", figures(without_lag)), "async-loop-lag")
    assert (found.verdict, found.is_failure) == (Verdict.NOT_JUDGED, True)
    assert found.why == "async has no own work in it, ms: the loop never got to its timer"


def test_gate__whose_strategy_gave_no_figure_in_too_few_rounds__fails_nothing() -> None:
    """A round of a part of a second on a busy machine may well have no record."""

    def without_latency(old: RoundFigures) -> RoundFigures:
        return dataclasses.replace(old, latency=None)

    found = verdict(first_rounds(2, planted("async", figures(without_latency))), "async-p95-saturated")
    assert (found.verdict, found.is_failure) == (Verdict.NOT_JUDGED, False)


def busy(percent: float, run: RunResult = MEASURED) -> RunResult:
    """The run on a machine of which others took so much."""
    for name in ("async", "sync"):
        run = planted(name, lambda one: dataclasses.replace(one, others_percent=percent), run)
    return run


def test_rate__on_a_machine_that_others_use__needs_to_miss_or_keep_its_bound_by_far() -> None:
    near = planted("async", at_rate_times(0.55))
    assert verdict(busy(5, near), "async-pure-throughput").verdict is Verdict.NOT_MET
    found = verdict(busy(80, near), "async-pure-throughput")
    assert (found.verdict, found.is_failure) == (Verdict.UNDECIDED, False)
    assert found.why == "others took 80 % of the machine, which widens it"
    assert (
        verdict(busy(80, planted("async", at_rate_times(0.2))), "async-pure-throughput").verdict
        is Verdict.NOT_MET
    )
    assert (
        verdict(busy(80, planted("async", at_rate_times(3))), "async-pure-throughput").verdict is Verdict.MET
    )
    assert verdict(busy(80), AT_LEAST_10).verdict is Verdict.NOT_MET


def test_cpu_time__on_a_machine_that_others_use__is_judged_as_ever() -> None:
    assert verdict(busy(80), "async-pure-cpu") == verdict(MEASURED, "async-pure-cpu")
    assert verdict(busy(80), "async-loop-lag") == verdict(MEASURED, "async-loop-lag")


def test_room__on_a_machine_that_others_use__is_for_every_figure_but_those_of_cpu_counts_and_memory() -> None:
    assert {metric.path for metric in METRICS if not metric.is_elapsed} == {
        *("outcomes.success_percent", "outcomes.error_percent", "memory.growth_mib", "memory.peak_mib"),
        *("cpu.client_us", "cpu.caller_us", "cpu.broker_us", "loop_lag.work_p99_ms"),
    }
    lag = Gate("lag", "async", "loop_lag.p99_ms", Bound(1), None, "saturate", "it is too late")
    calm, crowded = verdict(MEASURED, lag), verdict(busy(80), lag)
    assert calm.low is not None
    assert crowded.low == calm.low / 2


@pytest.mark.parametrize("who", ["async", "sync"])
def test_gate__whose_rounds_are_not_verified__fails_however_good_the_figures_are(who: str) -> None:
    def lossy(one: RoundResult) -> RoundResult:
        return one if one.position > 8 else dataclasses.replace(one, verdict="fail")

    found = verdict(planted(who, lossy, planted("async", at_rate_times(2))), "async-pure-throughput")
    assert (found.verdict, found.is_failure) == (Verdict.NOT_JUDGED, True)
    assert found.why.startswith(f"the records of {who} are not verified (position ")


def test_gate__over_a_strategy_that_sent_nothing__fails_with_the_reason() -> None:
    found = verdict(planted("sync", at_rate_times(0)), "async-pure-throughput")
    assert (found.verdict, found.is_failure) == (Verdict.NOT_JUDGED, True)
    assert found.why == "nothing can be divided by 0, the send rate, records/s of sync"


def test_gate__of_a_strategy_that_sent_nothing_in_one_of_few_rounds__is_judged_all_the_same() -> None:
    def once(one: RoundResult) -> RoundResult:
        return at_rate_times(0)(one) if one is MEASURED.parts[0].strategies[1].rounds[0] else one

    run = first_rounds(3, planted("async", once))
    assert verdict(run, "async-pure-throughput").verdict is Verdict.UNDECIDED
    assert verdict(run, AT_LEAST_10).verdict is Verdict.NOT_MET


def test_gate__of_a_strategy_that_sent_nothing__is_not_met() -> None:
    found = verdict(planted("async", at_rate_times(0)), "async-pure-throughput")
    assert (found.verdict, found.value, found.is_failure) == (Verdict.NOT_MET, 0, True)


@settings(max_examples=50, deadline=None)
@given(machine=st.lists(st.floats(0.1, 10), min_size=6, max_size=6))
def test_ratio__of_rounds_on_a_machine_that_others_slow_down__is_the_same(machine: list[float]) -> None:
    """Whatever the machine does to both in a round, the verdict on their ratio does not move."""

    def weathered(one: RoundResult, index: int) -> RoundResult:
        return at_rate_times(machine[index])(one)

    changed = [
        dataclasses.replace(each, rounds=tuple(weathered(one, n) for n, one in enumerate(each.rounds)))
        for each in MEASURED.parts[0].strategies
    ]
    calm, stormy = (
        verdict(run, "async-pure-throughput") for run in (MEASURED, with_strategies(MEASURED, changed))
    )
    assert calm.verdict is stormy.verdict
    assert calm.value == pytest.approx(stormy.value)


@settings(max_examples=50, deadline=None)
@given(by=st.floats(0.01, 100))
def test_verdict__of_a_faster_producer__is_never_worse(by: float) -> None:
    rank = [Verdict.NOT_MET, Verdict.UNDECIDED, Verdict.MET]
    one, faster = (
        verdict(planted("async", at_rate_times(factor)), "async-pure-throughput").verdict
        for factor in (by, by * 1.1)
    )
    assert rank.index(faster) >= rank.index(one)
