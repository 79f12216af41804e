import os
import signal
import threading

import pytest

from unreel.train.signals import catch_stop_signals


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_becomes_a_request(name: str) -> None:
    with catch_stop_signals() as stop:
        assert not stop
        os.kill(os.getpid(), getattr(signal, name))
        assert stop
        assert stop.signal_name == name


def test_a_second_signal_acts_as_usual() -> None:
    with pytest.raises(KeyboardInterrupt), catch_stop_signals():  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with catch_stop_signals():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_thread_of_the_user_trains_without_listening() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def listen() -> None:
        with catch_stop_signals() as stop:
            seen.append((bool(stop), signal.getsignal(signal.SIGTERM) is before))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert seen == [(False, True)]
