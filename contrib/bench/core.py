"""How fast the core takes packets, without a mount: batches straight into the engine.

Owns nothing but the clock: it reads a capture as the capture room does, once without and once with the
engine behind it, so that what the engine costs is the difference. For profiling, `--profile` on an
interpreted core says where the time goes.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import resource
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))  # at the end: an installed flowfs comes first

from contrib.bench import captures, shapes
from flowfs.capture import open_file
from flowfs.capture.sources import META_BYTES, Batch
from flowfs.core import engine
from flowfs.core.limits import Limits

Feed = Callable[[Batch], None]


def batches(path: Path) -> Iterator[Batch]:
    source = open_file(str(path), 0)
    while not source.ended:
        if (batch := source.next_batch()).meta:
            yield batch
    source.close()


def run(path: Path, most: int, feed: Feed) -> tuple[int, float, float]:
    """Packets, seconds, and processor seconds; stops at the first batch that ends beyond `most` packets."""
    packets = 0
    begin, worked = time.perf_counter(), time.process_time()
    for batch in batches(path):
        feed(batch)
        packets += len(batch.meta) // META_BYTES
        if packets >= most:
            break
    return packets, time.perf_counter() - begin, time.process_time() - worked


def feed_batch(house: engine.Engine, batch: Batch) -> None:
    house.feed(*batch[:3], 0, batch.fraction_ns)


def show(what: str, packets: int, seconds: float, worked: float) -> None:
    rate = packets / seconds
    print(f"  {what:<16} {packets:>10,} packets  {seconds:6.2f} s  {rate:>10,.0f}/s  {worked:6.2f} s CPU")


def measure(load: shapes.Load, options: argparse.Namespace) -> None:
    shape = load.small if options.small else load.full
    path = captures.cached(shape)
    print(load.what)
    show("reading alone", *run(path, options.packets, lambda _: None))
    engine.enlarge_pages()
    for _ in range(options.repeat):
        house = engine.Engine(Limits(payload_bytes=load.payload_bytes, table_bytes=load.table_bytes))
        feed = partial(feed_batch, house)
        show("into the engine", *run(path, options.packets, feed))
        begin = time.perf_counter()
        house.finish()
        finishing = time.perf_counter() - begin
        numbers = house.statistics()
        house.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  finish() took {finishing:.3f} s; peak memory of this process {peak:,.0f} MiB")
    if options.counters:
        for name, value in sorted(numbers.items()):
            print(f"    {name:<28} {value:>16,}")


def main() -> None:
    parser = argparse.ArgumentParser(description="batches straight into the engine: packets a second")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", choices=shapes.LOADS, help="one of the captures (bulk and short)")
    parser.add_argument("--small", action="store_true", help="small captures")
    parser.add_argument("--packets", type=int, default=10**9, help="no more packets than this")
    parser.add_argument("--counters", action="store_true", help="print the engine's counters")
    parser.add_argument("--profile", action="store_true", help="where an interpreted core takes its time")
    options = parser.parse_args()
    print(f"engine: {'interpreted' if str(engine.__file__).endswith('.py') else 'compiled'}")
    profile = cProfile.Profile()
    for name in [options.only] if options.only else ["bulk", "short"]:
        load = shapes.LOADS[name]
        if options.profile:
            profile.runcall(measure, load, options)
        else:
            measure(load, options)
    if options.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    main()
