"""The judges of `code_controls` are content with the code, and not with the worse code."""

import pytest

from spoolq import platform

from .code_controls import CODE_CONTROLS

pytestmark = pytest.mark.skipif(platform.WINDOWS, reason="links and syncs as POSIX has them")


@pytest.mark.parametrize("name", CODE_CONTROLS)
def test_the_code_passes(name, spool, clock, monkeypatch):
    CODE_CONTROLS[name].judge(spool, clock, monkeypatch)


@pytest.mark.parametrize("name", CODE_CONTROLS)
def test_the_worse_code_is_caught(name, spool, clock, monkeypatch):
    control = CODE_CONTROLS[name]
    for patch in control.worse:
        monkeypatch.setattr(*patch)
    with pytest.raises(AssertionError):
        control.judge(spool, clock, monkeypatch)
