"""The process that looks at a pasted program: gives up what it can, says what that was, and only then reads the program.

Run as a file, by `python -I confine.py FOLDER REPLY`: it imports the standard library alone until it is confined, because a
process with threads, which numerical libraries start, can no longer leave its namespaces.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import struct
import sys
from collections.abc import Iterable

CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWIPC = 0x10000000, 0x40000000, 0x08000000
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_SET_DUMPABLE = 1, 38, 22, 4
SIGKILL, FILTER, EPERM, ENOSYS = 9, 2, 1, 38

# System calls that reach beyond the process, by the machine's own numbers.
DENIED = {
    "x86_64": (
        # fork vfork execve execveat; socket connect bind listen; kill tkill and queued signals; ptrace and others' memory
        *(57, 58, 59, 322, 41, 42, 49, 50, 62, 200, 129, 297, 101, 310, 311),
        # unshare setns mount umount2 pivot_root chroot; bpf perf keys io_uring; pidfds; the new mount calls
        *(272, 308, 165, 166, 155, 161, 321, 298, 248, 249, 250, 425, 426, 427, 424, 434, 438, 428, 429, 430, 432, 442),
    ),
    "aarch64": (
        *(221, 281, 198, 203, 200, 201, 129, 130, 138, 240, 117, 270, 271),
        *(97, 268, 40, 39, 41, 51, 280, 241, 217, 218, 219, 425, 426, 427, 424, 434, 438, 428, 429, 430, 432, 442),
    ),
}
ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CLONE, TGKILL, CLONE3 = {"x86_64": 56, "aarch64": 220}, {"x86_64": 234, "aarch64": 131}, 435
CLONE_THREAD = 0x10000

LINUX = sys.platform.startswith("linux")  # elsewhere only the limits of POSIX hold, and the answer says so
libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    folder, reply = sys.argv[1], int(sys.argv[2])
    limits = json.loads(sys.stdin.readline())
    held = confine(folder, limits)
    sys.path[:] = limits["path"]
    from spanax.gallery.web._find.evaluate import evaluate

    answer = {**evaluate(json.loads(sys.stdin.readline())), "held": held}
    os.write(reply, json.dumps(answer).encode())


def confine(folder: str, limits: dict) -> dict[str, str]:
    """Gives up what the system lets a process give up. In words, by subject, with "no: " where it did not."""
    os.chdir(folder)
    if LINUX:
        libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)  # it does not outlive the server
    if os.getppid() != limits["parent"]:
        sys.exit("the server has ended")  # before the signal was asked for
    own_network = LINUX and _leave_network()
    held = _limit(limits)  # counts the user's threads, whose list the next step closes
    files, filtered = "", False
    if LINUX:
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        files = _confine_files(folder, [*limits["reads"], sys.prefix, sys.base_prefix], lists=limits["path"])
        filtered = _filter_calls()  # last, because it forbids what the others are done with
    networks = [
        "a network namespace of its own" if own_network else "",
        "system calls for sockets are refused" if filtered else "",
    ]
    network = "; ".join(filter(None, networks))
    held["network"] = network or "no: this system does not let a process give it up"
    held["processes"] = "none, nor other programs: their system calls are refused" if filtered else held["processes"]
    held["files"] = files or "no: this system has no Landlock, so it can do with files what you can"
    return held


def _limit(limits: dict) -> dict[str, str]:
    """Sets the limits that each system has, and says which."""
    with contextlib.suppress(OSError, AttributeError):
        # Libraries start a thread for each processor that they may use.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: limits["processors"]])
    for kind, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, limits["file"]),
        (resource.RLIMIT_NOFILE, 256),
    ):
        _lower(kind, value)
    computes = _lower(resource.RLIMIT_CPU, limits["cpu"])
    memory = _lower(resource.RLIMIT_AS, limits["memory"])
    # The system counts all threads of the user: this many more than there are.
    threads = _lower(resource.RLIMIT_NPROC, _threads() + limits["threads"])
    return {
        "time": f"{limits['cpu']} s of computation, {limits['seconds']} s in all"
        if computes
        else f"{limits['seconds']} s in all",
        "memory": f"{limits['memory'] / 2**30:.0f} GiB of address space"
        if memory
        else "no: this system has no such limit",
        "processes": f"{limits['threads']} threads and processes" if threads else "no: this system has no such limit",
    }


def _lower(kind: int, value: int) -> bool:
    """Sets a limit; one that is lower already stays."""
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    try:
        resource.setrlimit(kind, (value, value))
    except (OSError, ValueError):
        return False
    return True


def _threads() -> int:
    """Of this user, on this machine."""
    total = 0
    for entry in os.listdir("/proc") if os.path.isdir("/proc/self/task") else ():
        with contextlib.suppress(OSError):
            if entry.isdigit() and os.stat(f"/proc/{entry}").st_uid == os.getuid():
                total += len(os.listdir(f"/proc/{entry}/task"))
    return total


def _leave_network() -> bool:
    """A network namespace without any interface that is up. A user namespace gives the right to make one."""
    # Not together: where only the superuser may make one, the first fails and the second does not.
    return libc.unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC) == 0 or libc.unshare(CLONE_NEWNET) == 0


# -- files: Landlock (Linux 5.13), by its own system calls, which the C library does not have

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
# Of /proc what is its own, and what describes the machine: other processes are none of its business.
SYSTEM = "/usr /lib /lib64 /nix /sys/devices/system /etc/ld.so.cache /etc/localtime /dev/urandom /dev/zero".split()
SYSTEM += "/proc/self /proc/cpuinfo /proc/meminfo /proc/stat /proc/sys /proc/filesystems".split()


def _confine_files(folder: str, reads: Iterable[str], lists: Iterable[str]) -> str:
    """Lists what is on the import path, reads the libraries, writes into the folder, and no more. "" without Landlock."""
    version = libc.syscall(CREATE_RULESET, None, 0, 1)
    if version < 1:
        return ""
    # How many kinds of access each version knows; from the fourth on TCP, from the sixth on signals and sockets outside.
    known = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    rules = struct.pack("QQQ", known, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    ruleset = libc.syscall(CREATE_RULESET, rules, 24 if version >= 6 else 16 if version >= 4 else 8, 0)
    if ruleset < 0:
        return ""
    for path in {*reads, *SYSTEM}:
        _allow(ruleset, path, READ_FILE | READ_DIR)
    for path in lists:
        _allow(ruleset, path, READ_DIR)  # what Python looks for there begins with the folder's list
    _allow(ruleset, "/dev/null", READ_FILE | WRITE_FILE)
    _allow(ruleset, folder, known & ~EXECUTE)
    restricted = libc.syscall(RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return (
        "only those of Python and its libraries are read, and only its own empty folder is written"
        if restricted
        else ""
    )


def _allow(ruleset: int, path: str, access: int) -> None:
    if not os.path.exists(path):
        return
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    if not os.path.isdir(path):
        access &= EXECUTE | WRITE_FILE | READ_FILE
    libc.syscall(ADD_RULE, ruleset, 1, struct.pack("=Qi", access, handle), 0)
    os.close(handle)


# -- system calls: seccomp, a program of the old packet filter

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, ERROR, KILL = 0x7FFF0000, 0x00050000, 0x80000000
NUMBER, ARCH, FIRST = 0, 4, 16  # where struct seccomp_data has them


def _filter_calls() -> bool:
    machine = os.uname().machine
    if machine not in DENIED or sys.maxsize < 2**32:
        return False
    program = b"".join(_program(machine, os.getpid()))
    buffer = ctypes.create_string_buffer(program, len(program))
    filters = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    return libc.prctl(PR_SET_SECCOMP, FILTER, ctypes.c_char_p(filters), 0, 0) == 0


def _program(machine: str, pid: int) -> Iterable[bytes]:
    """Each instruction: what, how many to skip if it holds, and if not, and with which value."""

    def step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("HBBI", code, yes, no, value)

    def deny(number: int, error: int = EPERM) -> bytes:
        return step(EQUAL, number, no=1) + step(RETURN, ERROR | error)

    yield step(LOAD, ARCH) + step(EQUAL, ARCHITECTURE[machine], yes=1) + step(RETURN, KILL)
    # The numbers of x86-64's second, 32-bit interface have this bit, and mean the same calls.
    yield step(LOAD, NUMBER) + step(AT_LEAST, 0x40000000, no=1) + step(RETURN, ERROR | EPERM)
    yield from map(deny, DENIED[machine])
    # Answered "not there", the C library starts its threads by the older call, whose flags can be read.
    yield deny(CLONE3, ENOSYS)
    yield step(EQUAL, CLONE[machine], no=4) + step(LOAD, FIRST) + step(ANY_BIT, CLONE_THREAD, yes=1)
    yield step(RETURN, ERROR | EPERM) + step(RETURN, ALLOW)
    # A thread of its own may be signalled: abort() does.
    yield step(EQUAL, TGKILL[machine], no=4) + step(LOAD, FIRST) + step(EQUAL, pid, yes=1)
    yield step(RETURN, ERROR | EPERM) + step(RETURN, ALLOW)
    yield step(RETURN, ALLOW)


if __name__ == "__main__":
    main()
