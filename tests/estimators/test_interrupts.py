"""Ctrl-C, and what looks like it."""

import signal
import threading

import pytest

from citrus_sk._utils.interrupts import notice_interrupt


@pytest.fixture(autouse=True)
def same_handler():
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before


def test_a_ctrl_c_is_noticed_and_does_what_it_did_before():
    with notice_interrupt() as interrupted:
        assert not interrupted()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert interrupted()


def test_one_is_held_back_where_asked_for_and_a_second_one_is_not():
    with notice_interrupt(hold_back=True) as interrupted:
        signal.raise_signal(signal.SIGINT)
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_process_that_ignores_ctrl_c_goes_on_ignoring_it():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with notice_interrupt() as interrupted:
            signal.raise_signal(signal.SIGINT)
            assert not interrupted()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_receive_none():
    heard = []

    def run():
        with notice_interrupt() as interrupted:
            heard.append(interrupted())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert heard == [False]
