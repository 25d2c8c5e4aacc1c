"""The two cores that are compared, where both are to be had."""

from __future__ import annotations

import os

import pytest

from property import cores


@pytest.fixture(scope="session")
def both_cores() -> tuple[cores.Core, cores.Core]:
    """The compiled core and its sources run as they are. In CI the tests that ask for it must run.

    Where `FLOWFS_CORE` promises the interpreted core, they have their turn in the run with the compiled one.
    """
    tested = cores.under_test()
    if tested.name != "compiled":
        reason = "needs the compiled core: flowfs.core is interpreted here"
        in_ci = os.environ.get("CI", "").lower() not in ("", "0", "false")
        if in_ci and os.environ.get("FLOWFS_CORE") != "interpreted":
            pytest.fail(f"In CI this test must run. It {reason}")
        pytest.skip(reason)
    return tested, cores.interpreted()
