"""At which rate of packets flowfs, tcpdump and tcpflow begin to lose some, and how soon a byte can be read.

Owns the search and the verdict: exit status 1 where a target is missed, 2 where a program does not do its
work. A sender in a network namespace replays a capture over a veth pair; the rate rises by FACTOR until
something is lost, and then the limit is closed in on. A rate is held if nothing is lost in one of TRIES, for
what else the machine does only harms.
"""

from __future__ import annotations

import argparse
import os
import select
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

sys.path.append(str(Path(__file__).resolve().parents[2]))  # at the end: an installed flowfs comes first

from contrib.bench import captures, shapes, talker, wire
from contrib.bench.capturing import PROGRAMS, Plan, Trial, mounted, talking
from contrib.bench.programs import Failed, default_flowfs, machine, note, work_folder

FACTOR = 1.5
TRIES = 2
LIMITED = 0.95  # of the wanted rate: a sender that is slower has reached its own limit

# The targets.
OF_TCPDUMP, OF_TCPFLOW = 0.6, 8.0
MEDIAN_MS, PERCENTILE_MS = 5.0, 20.0

Attempt = Callable[[float], Trial]


class Limit(NamedTuple):
    """The fastest trial in which nothing was lost, and the slowest in which something was, if any."""

    held: Trial | None
    lost: Trial | None

    @property
    def rate(self) -> float:
        return self.held.rate if self.held else 0.0


def attempt(once: Attempt, rate: float) -> Trial:
    """The best of TRIES, or the first that is as good as can be."""
    trials: list[Trial] = []
    while len(trials) < TRIES and not any(one.lost == 0 and one.rate >= LIMITED * rate for one in trials):
        trials.append(once(rate))
    return min(trials, key=lambda one: (one.lost, -one.rate))


def search(once: Attempt, first: float, most: float, steps: int) -> Limit:
    """Up by FACTOR from `first`, to `most` or the sender's limit, then `steps` halvings of the rest."""
    held: Trial | None = None
    lost: Trial | None = None
    below, rate = first / FACTOR, first
    while True:
        best = attempt(once, rate)
        if best.lost:
            lost = best
            break
        if rate >= most or best.rate < LIMITED * rate:
            return Limit(best, None)
        held, below = best, rate
        rate = min(most, rate * FACTOR)
    above = rate
    for _ in range(steps):
        rate = (below * above) ** 0.5
        best = attempt(once, rate)
        if best.lost:
            above, lost = rate, best
        else:
            below, held = rate, best
    return Limit(held, lost)


# --- how soon a byte can be read ---------------------------------------------------------------


def latencies_ms(plan: Plan, sends: wire.Side, side: wire.Side, rate: float, markers: float) -> list[float]:
    """From the moment that a marker is sent to that in which its last byte has been read, for each."""
    with mounted(side, plan) as mountpoint, talking(sends, mountpoint, 1, markers, plan.seconds) as speaker:
        command = sends.command(
            wire.compiled("sender.c"), captures.cached(plan.shape), "eth0", f"{rate:.0f}", f"{plan.seconds}"
        )
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as background:
            speaker.begin()
            seen = watch(mountpoint / talker.name(0), plan.seconds + 0.5)
            _, (sent_ns,) = speaker.end()
            background.terminate()
    size = len(talker.MARKER.data)
    if seen[-1][0] != size * len(sent_ns):
        raise Failed(f"of {len(sent_ns)} markers {seen[-1][0] / size:g} could be read")
    return late_ms(sent_ns, seen, size)


def late_ms(sent_ns: list[int], seen: list[tuple[int, int]], size: int) -> list[float]:
    """For each marker of `size` bytes but the first; `seen` are bytes that were read, and when they were."""
    reads = iter(seen)
    count, when_ns = next(reads)
    found = []
    for number, begin_ns in enumerate(sent_ns):
        while count < (number + 1) * size:
            count, when_ns = next(reads)
        found.append((when_ns - begin_ns) / 1e6)
    return found[1:]  # the first one was there before anybody read


def watch(flow: Path, seconds: float) -> list[tuple[int, int]]:
    """Waits in poll(2) and reads what has come: how many bytes there are, and when they had been read."""
    descriptor = os.open(flow, os.O_RDONLY)
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    seen, count = [], 0
    end_s = time.monotonic() + seconds
    try:
        while (left_s := end_s - time.monotonic()) > 0:
            if poller.poll(1000 * left_s) and (data := os.read(descriptor, 65536)):
                count += len(data)
                seen.append((count, time.monotonic_ns()))
    finally:
        os.close(descriptor)
    return seen or [(0, 0)]


# --- what people read --------------------------------------------------------------------------


def show(name: str, limit: Limit) -> None:
    held, lost = "nothing", "nothing was sent faster"
    if limit.held:
        held = f"{limit.held.rate:11,.0f}/s {limit.held.bytes_per_s / 1e6:7.1f} MB/s"
    if limit.lost:
        lost = f"at {limit.lost.rate:,.0f}/s {100 * limit.lost.lost:.2g} % was lost"
    print(f"  {name:<8} {held}   {lost}", flush=True)


def judge(what: str, good: bool, judging: bool) -> bool:
    print(f"  {what}  {'' if not judging else 'ok' if good else 'MISSED'}")
    return good or not judging


def measure_rates(options: argparse.Namespace, plan: Plan, cable: tuple[wire.Side, wire.Side]) -> bool:
    """Whether the targets are met."""
    limits: dict[str, Limit] = {}
    for name in [one for one in PROGRAMS if not options.only or one in options.only]:
        if name != "flowfs" and not shutil.which(name):
            print(f"live: there is no {name} here; going on without it", file=sys.stderr)
            continue

        def once(rate: float, name: str = name) -> Trial:
            note(f"{name}: {rate:,.0f} packets/s")
            return PROGRAMS[name](cable, plan, rate)

        limits[name] = search(once, options.first_rate, options.most_rate, options.steps)
        note("")
        show(name, limits[name])
    met = True
    for peer, target in (("tcpdump", OF_TCPDUMP), ("tcpflow", OF_TCPFLOW)):
        if peer in limits and "flowfs" in limits and limits[peer].rate:
            ratio = limits["flowfs"].rate / limits[peer].rate
            said = f"flowfs / {peer} {ratio:6.2f}  (at least {target})"
            met &= judge(said, ratio >= target, judging=not options.small)
    return met


def measure_latency(options: argparse.Namespace, plan: Plan, cable: tuple[wire.Side, wire.Side]) -> bool:
    """Whether the targets are met."""
    note("latency")
    late = sorted(latencies_ms(plan, *cable, options.latency_rate, options.markers))
    note("")
    median, percentile = statistics.median(late), late[len(late) * 99 // 100]
    print(
        f"  from a packet to its last byte read, at {options.latency_rate:,.0f} packets/s, {len(late)} times:"
    )
    said = f"median {median:.2f} ms (at most {MEDIAN_MS}), 99 % {percentile:.2f} ms (at most {PERCENTILE_MS})"
    good = median <= MEDIAN_MS and percentile <= PERCENTILE_MS
    return judge(f"{said}, most {late[-1]:.1f} ms", good, judging=not options.small)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="the highest rate at which nothing is lost, and the latency, of flowfs and its peers"
    )
    add = parser.add_argument
    add("--only", action="append", choices=PROGRAMS, help="this program; repeatable (default: all)")
    add("--shape", choices=shapes.LIVE, default="mix", help="what is replayed (default: %(default)s)")
    add("--seconds", type=float, default=5, help="of each trial (default: %(default)g)")
    add(
        "-B",
        "--buffer-size",
        type=int,
        default=16384,
        metavar="KIB",
        help="in the kernel (default: %(default)d)",
    )
    add(
        "--readers", type=int, default=100, metavar="N", help="flows that tail follows (default: %(default)d)"
    )
    add("--first-rate", type=float, default=20_000, help="packets/s to begin with (default: %(default)g)")
    add("--most-rate", type=float, default=3e6, help="packets/s to end with (default: %(default)g)")
    add("--steps", type=int, default=4, help="halvings of what is between (default: %(default)d)")
    add("--latency-rate", type=float, default=20_000, help="packets/s meanwhile (default: %(default)g)")
    add("--markers", type=float, default=100, help="markers a second (default: %(default)g)")
    add("--small", action="store_true", help="a second or two in all: for trying, not for judging")
    add("--flowfs", default=default_flowfs(), help="the command (default: %(default)s)")
    options = parser.parse_args()
    if options.small:
        options.seconds, options.readers, options.steps = 0.5, 5, 0
        options.first_rate = options.most_rate = options.latency_rate = 1000
    return options


def main() -> int:
    """0: every target met; 1: one missed; 2: a program failed."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # on the way out everything is taken away
    shape = shapes.LIVE_SMALL if options.small else shapes.LIVE[options.shape]
    print(f"{machine()}; {options.shape}, {options.seconds:g} s each, -B {options.buffer_size}")
    try:
        captures.cached(shape)
        with work_folder() as work, wire.cable() as cable:
            flowfs = options.flowfs.split()
            plan = Plan(shape, options.seconds, options.buffer_size, options.readers, flowfs, work)
            met = [measure_rates(options, plan, cable)]
            if not options.only or "flowfs" in options.only:
                met.append(measure_latency(options, plan, cable))
    except (Failed, OSError, subprocess.TimeoutExpired) as error:
        note("")
        print(f"live: {error}", file=sys.stderr)
        return 2
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
