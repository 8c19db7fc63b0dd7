"""What the workers of the tests run. Functions of modules, as workers import them; without JAX, so that they start fast."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np


def square(x):
    return x * x


def napping_square(x):
    """50 tasks a second."""
    time.sleep(0.02)
    return x * x


def process_and_square(x):
    time.sleep(0.02)
    return os.getpid(), x * x


def poison_at_7(x):
    """Kills the process that it runs in."""
    if x == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
    return x * x


def exits_at_3(x):
    if x == 3:
        os._exit(5)
    return x * x


class FaultsOnce:
    """Faults at 2 and 5, the first time that each is met; `folder` remembers across processes."""

    def __init__(self, folder, fault):
        self.folder, self.fault = str(folder), fault

    def __call__(self, x):
        met = pathlib.Path(self.folder, str(x))
        if x in (2, 5) and not met.exists():
            met.write_text(str(os.getpid()))
            return self.fault(x)
        return np.array([x * x, x])


def raises(x):
    raise ValueError(f"no value at {x}")


def exits(x):
    sys.exit(3)


def dies(x):
    os.kill(os.getpid(), signal.SIGKILL)


def hangs(x):
    while True:
        time.sleep(60)


def is_nan(x):
    return np.array([np.nan, x])


def has_wrong_shape(x):
    return np.zeros(3)


def cannot_be_pickled(x):
    return lambda: x


class HangsAt:
    """Writes its process's id, starts a child that sleeps as well, and hangs deaf to SIGTERM."""

    def __init__(self, folder, where):
        self.folder, self.where = str(folder), where

    def __call__(self, x):
        if x == self.where:
            child = subprocess.Popen(["sleep", "600"])
            pathlib.Path(self.folder, f"{os.getpid()}-{child.pid}").touch()
            while True:
                try:
                    time.sleep(60)
                except BaseException:
                    continue
        return x * x


class CleansUp:
    """Hangs, and leaves a file when it is interrupted; one beside it says that it has begun."""

    def __init__(self, file):
        self.file = str(file)

    def __call__(self, x):
        try:
            pathlib.Path(f"{self.file}.begun").touch()
            time.sleep(60)
        finally:
            pathlib.Path(self.file).touch()


class StubbornError(Exception):
    """Does not come back from a pickle."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def raises_stubborn(x):
    raise StubbornError("one", "two")


def prints(x):
    print(f"printed {x}")
    return x


def process():
    return os.getpid()


class Counted:
    """Counts the times that it is loaded by a process; large, so that sending it often would show."""

    def __init__(self, folder):
        self.folder, self.ballast = str(folder), np.zeros(100_000)

    def __setstate__(self, state):
        self.__dict__.update(state)
        with open(os.path.join(self.folder, str(os.getpid())), "a") as file:
            file.write("x")

    def __call__(self, x):
        return x * x


class WithinItself:
    """Keeps its time itself."""

    def __init__(self, timeout=None):
        self.timeout = timeout

    def within(self, timeout):
        return WithinItself(timeout)

    def __call__(self, x):
        return self.timeout


class Unloadable:
    def __reduce__(self):
        return _not_here, ()

    def __call__(self, x):
        return x


def _not_here():
    raise ImportError("no such library here")


class KillsItsLoader:
    def __reduce__(self):
        return os._exit, (9,)

    def __call__(self, x):
        return x


def noise(x):
    return x + float.fromhex("0x0." + os.urandom(6).hex())


def bowl(x):
    """A quadratic bowl around 0."""
    return np.sum(x**2)


class FaultyBowl:
    """A bowl that faults at every point with x[0] > 1: always, or only the first time that the point is met."""

    def __init__(self, folder, fault, always=False):
        self.folder, self.fault, self.always = str(folder), fault, always

    def __call__(self, x):
        if x[0] > 1:
            met = pathlib.Path(self.folder, x.tobytes().hex())
            if self.always or not met.exists():
                met.touch()
                result = self.fault(x)
                return result if np.ndim(result) else float("nan")
        return bowl(x)


def napping_bowl(x):
    time.sleep(0.02)
    return bowl(x)


def many_bowls(x):
    return np.sum(x**2, axis=1)


def bowl_vjp(x, y, ct):
    return 2 * x * ct


class UnshowableError(Exception):
    def __str__(self):
        raise RuntimeError


def raises_unshowable(x):
    raise UnshowableError
