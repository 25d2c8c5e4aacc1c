"""`flowfs cat`: flows to standard output, as they are or as they grow.

Always true: with -f it waits by poll(2), so that what comes is written at once, and it ends when the flows do
or nobody reads any more.
"""

import argparse
import contextlib
import select
import time
from collections.abc import Sequence

from flowfs.rights import raise_file_limit

from .exits import FAILED
from .flowfile import FlowFile, NoFlow
from .output import Output
from .parse import Parser, add_common, command_parser
from .terminal import Terminal, printable

PEER_S = 0.5  # how often the other direction is looked for; no call waits for a file to appear
AGAIN_S = 0.2  # where poll(2) does not wait: another kernel, an older mount

_HELP = """\
Write flows to standard output. On a terminal, control characters in them are shown and not obeyed.
"""
_MORE = """\
With -f it ends when the flows do: by FIN or RST, because they were silent for long, or were freed. Several
flows are then written as they come, by turns; without -f one after the other, the client's before the
server's. Lines such as `==> NAME <==` say whose turn it is, of several with -f, and with --both.
Bytes that were lost are zeros, and told on standard error.
exit status: 0 fine, 1 no such flow, or bytes of it were freed before they were read
"""


def run(arguments: Sequence[str]) -> int:
    """Write as told; returns the exit status."""
    told = cat_parser().parse_args(arguments)
    raise_file_limit()  # a pattern may name more flows than the usual 1024
    cat = _Cat(told, Terminal(quiet=told.quiet, verbose=told.verbose))
    try:
        return cat.run()
    except NoFlow as error:
        cat.terminal.error(printable(str(error)))
    except BrokenPipeError:
        raise
    except OSError as error:
        cat.terminal.error(f"standard output: {error.strerror}")
    finally:
        cat.close()
    return FAILED


def cat_parser() -> Parser:
    """Its options and arguments."""
    parser = command_parser("cat", "FLOW... [-f] [--both] [--raw]", _HELP, _MORE)
    parser.add_argument("flows", nargs="+", metavar="FLOW", help="a file in a mount, or a link to one")
    group = parser.add_argument_group("options")
    group.add_argument("-f", "--follow", action="store_true", help="go on as they grow, until they end")
    group.add_argument("--both", action="store_true", help="with what the other side sent")
    group.add_argument("--raw", action="store_true", help="as it is, on a terminal, too")
    add_common(parser)
    return parser


class _Cat:
    def __init__(self, told: argparse.Namespace, terminal: Terminal) -> None:
        self.terminal = terminal
        self._follow: bool = told.follow
        self._paths: list[str] = told.flows
        self._both: bool = told.both
        self._labelled: bool = told.both or (told.follow and len(told.flows) > 1)
        self._output = Output(labelled=self._labelled, raw=told.raw)
        self._flows: list[FlowFile] = []
        self._places: set[str] = set()  # of all that there were
        self._peerless: list[FlowFile] = []  # of which the other direction is not there
        self._poll = select.poll()
        self._failed = False

    def close(self) -> None:
        for flow in self._flows:
            flow.close()

    def run(self) -> int:
        """Raises NoFlow, and OSError for standard output."""
        for path in self._paths:
            self._take(path)
        if self._follow:
            self._go_on()
        else:
            for flow in self._flows:
                while self._pass_on(flow):
                    pass
                self._output.say(flow.name, b"", self._side(flow), final=True)
        return FAILED if self._failed else 0

    # --- which flows -------------------------------------------------------------------------------

    def _take(self, path: str) -> None:
        """A flow, and the other direction beside it, the client's first."""
        flow = FlowFile(path)
        if flow.place in self._places:
            flow.close()  # a pattern has found both, say
            return
        self._flows.append(flow)
        self._places.add(flow.place)
        if self._both and not self._find_peer(flow):
            self._peerless.append(flow)

    def _find_peer(self, flow: FlowFile) -> bool:
        try:
            path = flow.peer()
            if path not in self._places:
                peer = FlowFile(path)
                at = self._flows.index(flow) if flow in self._flows else len(self._flows)
                self._flows.insert(at + (_side(flow) <= _side(peer)), peer)
                self._places.add(peer.place)
                if self._follow:
                    self._poll.register(peer.file, select.POLLIN)
        except (NoFlow, OSError):
            return False
        return True

    # --- as they grow ------------------------------------------------------------------------------

    def _go_on(self) -> None:
        for flow in self._flows:
            self._poll.register(flow.file, select.POLLIN)
        self._poll.register(self._output.descriptor, 0)  # POLLERR: nobody reads it any more
        while self._flows:
            events = dict(self._poll.poll(PEER_S * 1000 if self._peerless else None))
            if events.pop(self._output.descriptor, 0):
                raise BrokenPipeError
            came = [self._turn(flow, events[flow.file]) for flow in list(self._flows) if flow.file in events]
            if came and not any(came):
                time.sleep(AGAIN_S)  # poll(2) named them without reason, and would do so again at once
            self._peerless = [flow for flow in self._peerless if not self._find_peer(flow)]

    def _turn(self, flow: FlowFile, events: int) -> bool:
        """One that poll(2) named; whether that was with reason."""
        if self._pass_on(flow):
            return True
        with contextlib.suppress(OSError):
            if not (events & ~select.POLLIN or flow.is_over()):
                return False
            self.terminal.note(f"{flow.name}: over ({flow.attribute('state')})")
        if self._pass_on(flow):  # came before the end was seen
            return True
        self._output.say(flow.name, b"", self._side(flow), final=True)
        self._poll.unregister(flow.file)
        self._flows.remove(flow)
        if flow in self._peerless:
            self._peerless.remove(flow)
        flow.close()
        return True

    def _pass_on(self, flow: FlowFile) -> bool:
        """Write what comes next; False if nothing is there."""
        data, said, lost = flow.read()
        if lost:
            self._failed = True
            self.terminal.error(f"{flow.name}: {lost}")
        if said:
            self.terminal.warn(f"{flow.name}: {said}")
        self._output.say(flow.name, data, self._side(flow))
        return bool(data)

    def _side(self, flow: FlowFile) -> int:
        """Which of two it is, 0 for who began, or who may have; asked only where they are told apart."""
        return _side(flow) if self._labelled else 0


def _side(flow: FlowFile) -> int:
    """0 for who began, or who may have."""
    try:
        return int(flow.attribute("role") == "server")
    except OSError:
        return 0
