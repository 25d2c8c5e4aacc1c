"""How long flowfs takes to load captures, and how much memory, beside its peers and a mere copy.

Owns the turns, the medians and the verdict: exit status 1 where a target is missed, or, with `--check`, a
ratio is worse than the stored one; 2 where flowfs does not do its work. The captures are in the page cache,
and the memory that programs take was in use a moment ago.
The programs take turns, and so do the captures, so that a busy minute of the machine hits all of them.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))  # at the end: an installed flowfs comes first

from contrib.bench import captures, plot, ratios, shapes
from contrib.bench.programs import (
    MIB,
    Failed,
    Run,
    TooLong,
    default_flowfs,
    machine,
    note,
    run_copying,
    run_flowfs,
    run_tcpdump,
    run_tcpflow,
    run_tshark,
    warm,
    warm_memory,
    work_folder,
)

PEERS = ("tcpdump", "copying", "tcpflow", "tshark")
SLOW = ("tcpflow", "tshark")


@dataclass
class Result:
    """What was measured on one capture: each program's runs, and of flowfs the counters."""

    load: shapes.Load
    shape: captures.Shape
    runs: dict[str, list[Run]] = field(default_factory=dict)
    limit_s: float = 0
    counters: dict[str, int] = field(default_factory=dict)
    verified: int = 0

    def title(self) -> str:
        return self.load.what if self.shape is self.load.full else self.shape.title()

    def seconds(self, program: str) -> list[float]:
        return [run.seconds for run in self.runs[program]]

    def medians(self) -> dict[str, float]:
        return {program: statistics.median(self.seconds(program)) for program in self.runs}

    def peak_bytes(self, program: str) -> int:
        return max(run.peak_bytes for run in self.runs[program])


# --- the runs ----------------------------------------------------------------------------------


class Bench:
    """Takes the captures and the programs by turns, but for a program that failed on a capture before."""

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        self._options = options
        self._work = work
        self._programs = ["flowfs", *peers(options)]
        names = [name for name in shapes.LOADS if not options.only or name in options.only]
        self.results = {name: self._result(name) for name in names}
        self._given_up: set[tuple[str, str]] = set()

    def _result(self, name: str) -> Result:
        load = shapes.LOADS[name]
        return Result(load, load.small if self._options.small else load.full, limit_s=self._options.limit_s)

    def run(self) -> None:
        """Raises Failed where flowfs does."""
        for name, result in self.results.items():
            note(f"{name}: generating the capture")
            captures.cached(result.shape)
        for turn in range(self._options.repeat):
            for name, result in self.results.items():
                for program in self._wanted(name, result.load):
                    note(f"{name}: run {turn + 1} of {self._options.repeat}: {program}")
                    self._one(name, result, program)
        note("")

    def _wanted(self, name: str, load: shapes.Load) -> list[str]:
        some = self._programs if load.slow_peers else [one for one in self._programs if one not in SLOW]
        return [program for program in some if (name, program) not in self._given_up]

    def _one(self, name: str, result: Result, program: str) -> None:
        warm(captures.cached(result.shape))
        os.sync()  # what the one before wrote is not written back on this one's time
        warm_memory(allowed_bytes(result.load))
        try:
            run = self._runs(result)[program]()
        except Failed as failed:
            if program == "flowfs":
                raise
            self._given_up.add((name, program))
            note("")
            print(f"load: {name}: {failed}; going on without it", file=sys.stderr)
            if not isinstance(failed, TooLong):
                return
            run = Run(math.inf, 0)
        result.runs.setdefault(program, []).append(run)

    def _runs(self, result: Result) -> dict[str, Callable[[], Run]]:
        capture, limit_s = captures.cached(result.shape), self._options.limit_s
        return {
            "flowfs": lambda: self._flowfs(result),
            "tcpflow": lambda: run_tcpflow(capture, 2 * result.shape.connections, limit_s, self._work),
            "tcpdump": lambda: run_tcpdump(capture, limit_s),
            "tshark": lambda: run_tshark(capture, limit_s),
            "copying": lambda: run_copying(capture, limit_s),
        }

    def _flowfs(self, result: Result) -> Run:
        command, capture = self._options.flowfs.split(), captures.cached(result.shape)
        loaded = run_flowfs(
            command, result.load.options(), capture, result.shape, self._options.limit_s, self._work
        )
        result.counters, result.verified = loaded.counters, loaded.verified
        return loaded.run


def peers(options: argparse.Namespace) -> Iterator[str]:
    """Those that are here and wanted; says which are missing."""
    for peer in () if options.no_peers else options.peer or PEERS:
        if peer == "copying" or shutil.which(peer):
            yield peer
        else:
            print(f"load: there is no {peer} here; going on without it", file=sys.stderr)


# --- the table ---------------------------------------------------------------------------------


def report(name: str, result: Result) -> None:
    """What was measured on a capture, a line for each program."""
    size = captures.cached(result.shape).stat().st_size
    packets, flows = result.counters["packets"], result.counters["flows"]
    print(f"\n{name}: {result.title()} ({size / 1e6:,.0f} MB, {packets:,} packets)")
    medians = result.medians()
    for program, median in medians.items():
        compared = f"{medians['flowfs'] / median:6.2f}" if 0 < median < math.inf else ""
        peak = f"{result.peak_bytes(program) / MIB:6,.0f} MiB" if median < math.inf else ""
        took = said(result, program, "{:.2f} s  ({:.2f} to {:.2f})", "> {:g} s")
        print(f"  {program:<8} {took:<28} flowfs / it {compared:>6}   peak {peak}")
    print(f"  {result.verified:,} of {flows:,} flows held were compared with what was sent")


def said(result: Result, program: str, written: str, ended: str) -> str:
    """Median, least and most; or by what limit the program was ended."""
    seconds = result.seconds(program)
    median = statistics.median(seconds)
    if median == math.inf:
        return ended.format(result.limit_s)
    return written.format(median, min(seconds), max(seconds))


def table(results: dict[str, Result]) -> Iterator[str]:
    """All of it for the README, in Markdown."""
    programs = ["flowfs", *(peer for peer in PEERS if any(peer in one.runs for one in results.values()))]
    yield f"| capture | {' | '.join(programs)} | peak memory |"
    yield f"|{'---|' * (len(programs) + 2)}"
    for result in results.values():
        cells = [
            said(result, program, "{:.1f} ({:.1f} to {:.1f})", "> {:g}") if program in result.runs else ""
            for program in programs
        ]
        peak = f"{result.peak_bytes('flowfs') / MIB:.0f} MiB"
        yield f"| {' | '.join([result.title(), *cells, peak])} |"


def allowed_bytes(load: shapes.Load) -> int:
    """The memory that flowfs may take: its budgets, 15 % on top, and 60 MiB for the rest."""
    from flowfs.core.limits import Limits

    budgets = load.payload_bytes + load.table_bytes + Limits().out_of_order_bytes + Limits().fragment_bytes
    return budgets * 115 // 100 + 60 * MIB


def memory_missed(results: dict[str, Result]) -> Iterator[str]:
    """The captures for which flowfs took more than it may."""
    for name, result in results.items():
        allowed = allowed_bytes(result.load)
        if (peak := result.peak_bytes("flowfs")) > allowed:
            yield f"{name}: peak memory is {peak / MIB:.0f} MiB, and may be {allowed / MIB:.0f} MiB"


def judge(results: dict[str, Result], stored: Mapping[str, float], options: argparse.Namespace) -> bool:
    """Prints the ratios that mean something, and what is wrong with them; whether nothing is."""
    found = ratios.ratios_of({name: result.medians() for name, result in results.items()})
    print("\nratios")
    judged = [*ratios.TARGETS, *(name for name in found if ratios.is_steady(name))]
    for name in dict.fromkeys(name for name in judged if name in found):
        judging = name in ratios.TARGETS and not options.small
        print(f"  {name:<28} {found[name]:7.3f}", f"(at most {ratios.TARGETS[name]:.3f})" if judging else "")
    wrong = [] if options.small else [*ratios.missed(found), *memory_missed(results)]
    wrong += ratios.regressions(found, stored)
    if options.store:
        ratios.store(options.ratios, size_of(options), found, machine())
    print("\n".join(f"MISSED: {line}" for line in wrong) or "nothing missed")
    return not wrong


def size_of(options: argparse.Namespace) -> str:
    """Of the captures, as the file of ratios calls it."""
    return "small" if options.small else "full"


# --- the command -------------------------------------------------------------------------------


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="medians of flowfs mount -r beside tcpflow, tcpdump, tshark, and a mere copy in memory"
    )
    parser.add_argument("--repeat", type=int, default=3, help="runs of each program on each capture")
    parser.add_argument(
        "--only", action="append", choices=shapes.LOADS, help="this capture; repeatable (default: all)"
    )
    parser.add_argument("--small", action="store_true", help="small captures: for trying, not for judging")
    parser.add_argument(
        "--peer", action="append", choices=PEERS, help="flowfs and this one; repeatable (default: all)"
    )
    parser.add_argument("--no-peers", action="store_true", help="flowfs alone")
    parser.add_argument("--limit-s", type=float, default=300, help="a run that takes longer is ended (300)")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the medians")
    parser.add_argument(
        "--check", action="store_true", help="fail where a ratio is 15 %% above the stored one"
    )
    parser.add_argument("--store", action="store_true", help="store the ratios")
    parser.add_argument("--ratios", type=Path, default=ratios.STORED, help="where (default: %(default)s)")
    parser.add_argument("--flowfs", default=default_flowfs(), help="the command (default: %(default)s)")
    return parser.parse_args()


def show(results: dict[str, Result], stored: Mapping[str, float], options: argparse.Namespace) -> bool:
    """Whether nothing was missed."""
    for name, result in results.items():
        report(name, result)
    good = judge(results, stored, options)
    print("", *table(results), sep="\n")
    if options.plot:
        medians = {result.title(): result.medians() for result in results.values()}
        options.plot.write_text(plot.draw(medians))
    return good


def main() -> int:
    """0: nothing missed; 1: a target, or with --check what was reached before; 2: a program failed."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # on the way out everything is taken away
    print(f"{machine()}; medians of {options.repeat} runs (least to most)")
    try:
        stored = ratios.load(options.ratios, size_of(options)) if options.check else {}
        with work_folder() as work:
            bench = Bench(options, work)
            bench.run()
        return 0 if show(bench.results, stored, options) else 1
    except (Failed, OSError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
        note("")
        print(f"load: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
