"""A kernel that refuses to pin, as gVisor and strict seccomp profiles do."""

import errno
import os

import pytest

from adapters.pinning import pin


@pytest.mark.parametrize("call", ["sched_setaffinity", "sched_setscheduler"])
def test_auto_leaves_the_process_alone_where_the_kernel_refuses(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An optimisation that nobody asked for must not keep the engine from starting."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr("adapters.pinning._has_cpu_quota", lambda: False)
    for name in ("sched_setaffinity", "sched_setscheduler"):
        monkeypatch.setattr(os, name, lambda *_: None)
    monkeypatch.setattr(os, call, refuse)
    assert pin("auto").startswith("off: ")
    with pytest.raises(OSError, match="not permitted"):
        pin("on")
