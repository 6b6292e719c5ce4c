"""The sandbox against programs that mean harm: every one runs for real, in every mode that works here."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvloop
from sandboxes import MODES, real_sandbox

from router.configuration import parse_configuration
from router.errors import ConfigurationError, SandboxError
from router.sandbox import DEFAULT_LIMITS, Limits, Program, Ran, Sandbox, Scripted
from router.sections import SandboxSection
from serving.sandbox import bubblewrap as bubblewrap_module
from serving.sandbox import configured_sandbox
from serving.sandbox.bubblewrap import Bubblewrap
from serving.sandbox.interpreter import Interpreter
from serving.sandbox.supervised import Launch, run_supervised
from serving.sandbox.tree import descendants
from serving.sandbox.unconfined import Unconfined
from serving.service import compose

SHORT = Limits(seconds=1.0)
ROOM = Limits(seconds=20.0)
"""Long enough that the limit under test comes first even on a busy machine."""


@pytest.fixture(params=MODES)
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    """Every real sandbox that works on this machine."""
    return real_sandbox(request.param)


@pytest.fixture
def confined() -> Sandbox:
    """The one that keeps programs from the network and the files."""
    return real_sandbox("bubblewrap")


async def ran(sandbox: Sandbox, source: str, limits: Limits = ROOM, stdin: str = "", **more: str) -> Ran:
    return await sandbox.run(Program(source, stdin, files=more), limits)


def living(mark: str) -> list[int]:
    """Processes of this machine that carry a mark in their command line, and are no zombies."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and mark.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


@contextmanager
def no_leftovers(mark: str) -> Iterator[None]:
    """Nothing with the mark in its command line outlives the block by more than an instant."""
    yield
    deadline = time.monotonic() + 3
    while living(mark) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert living(mark) == []


SLEEPER = (
    "import os, sys; os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(600)', {!r}])"
)


async def test_a_program_reads_its_input_and_prints(sandbox: Sandbox) -> None:
    """Input, both outputs and the exit code go through, whole and apart."""
    source = "import sys\nprint(sys.stdin.read().upper())\nprint('no', file=sys.stderr)\nsys.exit(3)"
    result = await ran(sandbox, source, stdin="grüße\nund mehr")
    assert (result.stdout, result.stderr) == ("GRÜSSE\nUND MEHR\n", "no\n")
    assert (result.exit_code, result.ended, result.succeeded) == (3, "exited", False)
    assert result.complaint == "no"
    assert 0 < result.seconds < ROOM.seconds


async def test_files_lie_beside_the_program(sandbox: Sandbox) -> None:
    """A module given as a file can be imported, and the program may write beside it."""
    source = "import helper\nopen('out', 'w').write('x')\nprint(helper.five, open('out').read())"
    result = await ran(sandbox, source, **{"helper.py": "five = 5"})
    assert result.stdout == "5 x\n"
    assert result.succeeded


async def test_large_input_and_a_program_that_reads_none(sandbox: Sandbox) -> None:
    """Input that fills every pipe arrives; where it is not read, nothing waits for it."""
    text = "x" * 3_000_000
    assert (await ran(sandbox, "import sys; print(len(sys.stdin.read()))", stdin=text)).stdout == "3000000\n"
    assert (await ran(sandbox, "print(1)", stdin=text)).stdout == "1\n"


async def test_nothing_of_the_services_environment_is_there(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program's environment holds neither the service's keys nor anything else of it."""
    monkeypatch.setenv("UPSTREAM_KEY", "sk-secret")
    result = await ran(
        sandbox, "import os; print(dict(os.environ)); print(open('/proc/self/environ').read())"
    )
    assert result.succeeded
    assert "sk-secret" not in result.stdout
    assert "UPSTREAM_KEY" not in result.stdout


async def test_no_process_in_the_sandbox_shows_the_services_environment(
    confined: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither does any process that the program can see, the sandbox's first one included."""
    monkeypatch.setenv("UPSTREAM_KEY", "sk-secret")
    source = (
        "import glob\n"
        "for path in glob.glob('/proc/[0-9]*/environ') + glob.glob('/proc/[0-9]*/cmdline'):\n"
        "    try: print(path, open(path).read())\n"
        "    except OSError as error: print(path, error)\n"
    )
    result = await ran(confined, source)
    assert "/proc/1/environ" in result.stdout
    assert f"/proc/{os.getpid()}/" not in result.stdout.replace("/proc/1/", "")
    assert "sk-secret" not in result.stdout


async def test_a_program_that_sleeps_for_ever_is_stopped(sandbox: Sandbox) -> None:
    """At its time limit it is gone, and the result says so."""
    with no_leftovers("sleeper-of-time"):
        result = await ran(sandbox, SLEEPER.format("sleeper-of-time"), SHORT)
    assert (result.ended, result.exit_code) == ("timeout", None)
    assert SHORT.seconds <= result.seconds < SHORT.seconds + 5
    assert "limit of time" in result.complaint


async def test_a_program_that_ignores_signals_is_stopped(sandbox: Sandbox) -> None:
    """What cannot be caught is what ends it."""
    source = (
        "import signal, time\n"
        "for s in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}: signal.signal(s, signal.SIG_IGN)\n"
        "time.sleep(600)"
    )
    assert (await ran(sandbox, source, SHORT)).ended == "timeout"


async def test_a_fork_bomb_is_contained(sandbox: Sandbox) -> None:
    """It ends at the limit of processes, and none of them is left."""
    source = "import os, sys\nwhile True:\n    os.fork()  # bomb-of-forks"
    started = time.monotonic()
    result = await ran(sandbox, source)
    assert result.ended == "processes"
    assert time.monotonic() - started < 15
    deadline = time.monotonic() + 5
    while list(descendants(os.getpid())) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    assert list(descendants(os.getpid())) == []


async def test_a_program_may_start_some_processes(sandbox: Sandbox) -> None:
    """Up to the limit, child processes are nothing bad."""
    source = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'print(6 * 7)'], check=True)"
    assert (await ran(sandbox, source)).stdout.strip() == "42"


async def test_a_gigabyte_of_output_is_cut(sandbox: Sandbox) -> None:
    """The program is stopped at the limit, and only so much is kept."""
    source = "import sys\nfor _ in range(1000): sys.stdout.write('x' * 1_000_000)"
    result = await ran(sandbox, source, Limits(seconds=20, output_bytes=10_000))
    assert (result.ended, result.stdout) == ("output", "x" * 10_000)


async def test_a_flood_of_errors_is_cut(sandbox: Sandbox) -> None:
    """Standard error has its own limit."""
    source = "import sys\nprint('said')\nsys.stdout.flush()\nwhile True: sys.stderr.write('e' * 1_000_000)"
    result = await ran(sandbox, source, Limits(seconds=20, output_bytes=10_000))
    assert (result.ended, result.stdout, len(result.stderr)) == ("output", "said\n", 10_000)


async def test_exactly_the_limit_of_output_is_allowed(sandbox: Sandbox) -> None:
    """The limit itself is no excess."""
    result = await ran(sandbox, "print('x' * 99)", Limits(seconds=20, output_bytes=100))
    assert (result.succeeded, len(result.stdout)) == (True, 100)


async def test_ten_gigabytes_are_refused(sandbox: Sandbox) -> None:
    """An allocation beyond the limit fails at once, and the result names memory."""
    result = await ran(sandbox, "x = bytearray(10 << 30)\nprint('got it')")
    assert (result.ended, result.stdout) == ("memory", "")


async def test_memory_counts_over_all_processes(sandbox: Sandbox) -> None:
    """Processes that each stay within the limit are stopped where together they do not."""
    source = (
        "import os, time\n"
        "for _ in range(4):\n"
        "    if not os.fork():\n"
        "        x = bytearray(b'1') * (60 << 20)\n"
        "        time.sleep(600)\n"
        "time.sleep(600)"
    )
    assert (await ran(sandbox, source, Limits(seconds=20, memory_bytes=128 << 20))).ended == "memory"


@pytest.mark.parametrize(
    "source",
    [
        "f = open('big', 'wb')\nwhile True: f.write(b'x' * 1_000_000)",
        "i = 0\nwhile True:\n    i += 1\n    open(str(i), 'wb').write(b'x' * 1_000_000)",
    ],
    ids=["one file", "many files"],
)
async def test_the_disk_cannot_be_filled(sandbox: Sandbox, source: str) -> None:
    """Writing goes as far as the scratch space, in one file or in many."""
    result = await ran(sandbox, source, Limits(seconds=20, disk_bytes=4 << 20))
    assert not result.succeeded
    assert result.ended == "disk" or "OSError" in result.stderr


async def test_a_scratch_folder_is_gone_afterwards(sandbox: Sandbox) -> None:
    """The next program finds nothing of the one before."""
    first = await ran(sandbox, "import os; open('left', 'w').write('x'); print(os.getcwd())")
    second = await ran(sandbox, "import os; print(os.listdir('.'))")
    assert "left" not in second.stdout
    folder = Path(first.stdout.strip())
    assert folder == Path("/tmp") or not folder.exists()
    assert not Path("/tmp/left").exists()


async def test_a_daemon_does_not_outlive_its_program(sandbox: Sandbox) -> None:
    """A process that forks twice into a session of its own is killed with the rest."""
    source = (
        "import os, sys, time\n"
        "if not os.fork():\n"
        "    os.setsid()\n"
        "    if not os.fork():\n"
        "        sleep = 'import time; time.sleep(600)'\n"
        "        os.execv(sys.executable, [sys.executable, '-c', sleep, 'escaped-daemon'])\n"
        "    os._exit(0)\n"
        "time.sleep(0.3)\nprint('done')"
    )
    with no_leftovers("escaped-daemon"):
        result = await ran(sandbox, source)
    assert (result.succeeded, result.stdout) == (True, "done\n")
    assert result.seconds < 15


async def test_cancelling_kills_the_tree(sandbox: Sandbox) -> None:
    """When the caller leaves, nothing of the program goes on."""
    with no_leftovers("sleeper-of-the-caller"):
        task = asyncio.ensure_future(ran(sandbox, SLEEPER.format("sleeper-of-the-caller")))
        while not living("sleeper-of-the-caller"):
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("after_s", [0.0, 0.005, 0.03, 0.06])
async def test_cancelling_at_any_moment_leaves_nothing(sandbox: Sandbox, after_s: float) -> None:
    """Neither before it started, nor while it is set up, nor once it runs."""
    with no_leftovers("sleeper-of-moments"):
        task = asyncio.ensure_future(ran(sandbox, SLEEPER.format("sleeper-of-moments")))
        await asyncio.sleep(after_s)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_crash_is_told_apart_from_an_exit(sandbox: Sandbox) -> None:
    """A program that a signal ends has crashed."""
    result = await ran(sandbox, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert (result.ended, result.succeeded) == ("crashed", False)


async def test_the_rights_of_the_service_are_given_up(sandbox: Sandbox) -> None:
    """No program runs as root, or reads what only root may."""
    source = (
        "import os\nprint(os.getuid())\n"
        "try: print(open('/etc/shadow').read())\nexcept OSError: print('refused')"
    )
    result = await ran(sandbox, source)
    assert result.stdout.split()[0] != "0"
    assert result.stdout.split()[1:] == ["refused"]


@pytest.mark.parametrize("path", ["/x", "/usr/x", "/etc/x", "/dev/x", "/dev/shm/x", "/opt/x", "/var/tmp/x"])
async def test_nothing_is_written_outside_scratch(confined: Sandbox, path: str) -> None:
    """The whole system is read-only or not there."""
    result = await ran(confined, f"open({path!r}, 'w').write('x')")
    assert result.exit_code == 1
    assert "OSError" in result.stderr or "Error: [Errno" in result.stderr
    assert not Path(path).exists()


async def test_the_services_files_are_not_there(confined: Sandbox, tmp_path: Path) -> None:
    """A file that the service can read does not exist for the program."""
    secret = tmp_path / "prompts.db"
    secret.write_text("private")
    result = await ran(confined, f"print(open({str(secret)!r}).read())")
    assert "FileNotFoundError" in result.stderr
    result = await ran(confined, f"print(open({str(Path(__file__).parent / 'sandboxes.py')!r}).read())")
    assert not result.succeeded


async def test_there_is_no_network(confined: Sandbox) -> None:
    """Neither the world nor a server on this very machine can be reached."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for address in (("127.0.0.1", port), ("192.0.2.1", 80)):
            source = f"import socket; socket.create_connection({address!r}, timeout=2); print('through')"
            result = await ran(confined, source)
            assert (result.exit_code, result.stdout) == (1, "")


async def test_other_processes_are_out_of_sight(confined: Sandbox) -> None:
    """A program sees its own processes only, and signals none besides."""
    source = (
        "import os\nprint(sorted(int(p) for p in os.listdir('/proc') if p.isdigit()))\n"
        f"try: os.kill({os.getpid()}, 0); print('seen')\nexcept OSError: print('unseen')"
    )
    lines = (await ran(confined, source)).stdout.splitlines()
    assert len(lines[0].split(",")) <= 3
    assert lines[1] == "unseen"


async def test_runs_are_bounded_in_number() -> None:
    """Further programs wait their turn, which does not count as their time."""
    made = real_sandbox("bubblewrap")
    assert isinstance(made, Bubblewrap)
    one = Bubblewrap(made.interpreter, parallel=1)
    slow = "import time; time.sleep(0.6); print(1)"
    limits = Limits(seconds=5)
    started = time.monotonic()
    results = await asyncio.gather(*(ran(one, slow, limits) for _ in range(3)))
    assert time.monotonic() - started > 1.8
    assert all(result.succeeded and result.seconds < 5 for result in results)


async def test_the_operators_ceiling_holds() -> None:
    """A program gets no more than the configuration allows, whatever it asks for."""
    made = real_sandbox("bubblewrap")
    assert isinstance(made, Bubblewrap)
    strict = Bubblewrap(made.interpreter, Limits(seconds=0.7))
    result = await ran(strict, "import time; time.sleep(600)", Limits(seconds=500))
    assert (result.ended, result.seconds < 6) == ("timeout", True)


def test_it_runs_under_the_services_own_loop() -> None:
    """The service's event loop is uvloop, whose processes are its own."""
    sandbox = real_sandbox("bubblewrap")
    assert uvloop.run(ran(sandbox, "print(1)")).stdout == "1\n"
    assert uvloop.run(ran(sandbox, "import time; time.sleep(600)", SHORT)).ended == "timeout"


async def test_a_program_that_cannot_begin_is_the_sandboxs_fault(sandbox: Sandbox) -> None:
    """What fails before the program's first instruction is an error, not a result."""
    with pytest.raises(SandboxError, match="did not begin"):
        await sandbox.run(Program("print(1)", files={"no/such/folder": "x"}))


async def test_a_missing_bubblewrap_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the program there is no sandbox, and the error says what to install."""
    monkeypatch.setattr(bubblewrap_module.shutil, "which", lambda name: None)
    with pytest.raises(SandboxError, match="install bubblewrap"):
        await Bubblewrap(Interpreter.at(None)).run(Program("print(1)"))


def test_auto_is_off_where_bubblewrap_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The default serves without a sandbox and says so; by name, its absence is an error at start."""
    monkeypatch.setattr("serving.sandbox.obstacle", lambda interpreter: "no bwrap")
    assert configured_sandbox(SandboxSection.model_validate({})) is None
    assert "no sandbox: no bwrap" in caplog.text
    with pytest.raises(ConfigurationError, match="does not work here: no bwrap"):
        configured_sandbox(SandboxSection.model_validate({"mode": "bubblewrap"}))


def test_a_service_hands_its_sandbox_and_tools_to_its_runs(tmp_path: Path) -> None:
    """What the configuration says is what strategies and verifiers get, limits included."""
    real_sandbox("bubblewrap")
    values = {
        "store": {"path": str(tmp_path / "store.db")},
        "backends": {"fake": {"type": "scripted"}},
        "models": {
            "small": {
                "backend": "fake",
                "usd_per_million_prompt_tokens": 0.0,
                "usd_per_million_completion_tokens": 0.0,
            }
        },
        "menu": [{"strategy": "direct", "models": ["small"]}],
        "sandbox": {"seconds": 7.0, "parallel": 2},
    }
    service = compose(parse_configuration(values), {})
    service.store.close()
    sandbox = service.execution.sandbox
    assert isinstance(sandbox, Bubblewrap)
    assert (sandbox.ceiling.seconds, sandbox.parallel) == (7.0, 2)
    assert list(service.execution.tools) == ["calculator", "python"]


def test_the_weaker_mode_must_be_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    """It is never a fallback, and the log warns of it."""
    assert configured_sandbox(SandboxSection.model_validate({"mode": "off"})) is None
    weak = configured_sandbox(SandboxSection.model_validate({"mode": "unconfined", "seconds": 3}))
    assert isinstance(weak, Unconfined)
    assert weak.ceiling.seconds == 3
    assert "unconfined" in caplog.text


def test_a_python_that_is_none_is_an_error() -> None:
    """The message names the key."""
    with pytest.raises(ConfigurationError, match=r"sandbox\.python"):
        configured_sandbox(SandboxSection.model_validate({"mode": "unconfined", "python": "/no/python"}))


@pytest.mark.parametrize("name", Limits.__slots__)
def test_a_limit_must_be_above_zero(name: str) -> None:
    """A limit of nothing is a mistake."""
    with pytest.raises(ConfigurationError, match=name):
        Limits(**{name: 0})
    assert getattr(Limits().within(Limits(**{name: 1})), name) == 1


async def test_the_scripted_sandbox_says_what_it_is_told() -> None:
    """In turn, the last result from then on; or it raises."""
    fake = Scripted((Ran("a"), Ran("b")))
    assert [(await fake.run(Program(text))).stdout for text in "xyz"] == ["a", "b", "b"]
    assert [program.source for program in fake.seen] == ["x", "y", "z"]
    with pytest.raises(SandboxError):
        await Scripted(error=SandboxError("away")).run(Program(""), DEFAULT_LIMITS)


def test_a_killed_service_leaves_no_program_behind(sandbox: Sandbox, tmp_path: Path) -> None:
    """Where the service dies without a chance to clean up, its programs die with it."""
    service = (
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from router.sandbox import Program\nfrom serving.sandbox.interpreter import Interpreter\n"
        f"from {type(sandbox).__module__} import {type(sandbox).__name__} as Sandbox\n"
        f"box = Sandbox(Interpreter.at(Path({str(sandbox.interpreter.path)!r})))\n"
        f"asyncio.run(box.run(Program({SLEEPER.format('sleeper-of-the-dead')!r})))\n"
    )
    script = tmp_path / "service.py"
    script.write_text(service)
    root = Path(__file__).parent.parent
    with tempfile.TemporaryDirectory() as scratch, no_leftovers("sleeper-of-the-dead"):
        Path(scratch).chmod(0o755)  # the programs' user goes through it
        environment = {"PYTHONPATH": str(root), "TMPDIR": scratch}
        process = subprocess.Popen([sys.executable, script], env=environment)
        while not living("sleeper-of-the-dead"):
            time.sleep(0.02)
        process.kill()
        process.wait()


async def test_no_room_for_a_program_is_the_sandboxs_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is told as the sandbox's error, which strategies and verifiers survive."""

    def full(**options: str) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(SandboxError, match="No space left"):
        await Unconfined(Interpreter.at(None)).run(Program("print(5)"))


async def test_a_cancelled_start_that_fails_is_cancelled() -> None:
    """The error of a start that nobody waits for any more does not take the place of the cancellation."""
    task = asyncio.ensure_future(run_supervised(Launch(("/nowhere/python",), b"", {}), DEFAULT_LIMITS))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
