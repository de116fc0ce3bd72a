"""A guest of a real QEMU: its process, its monitor, its memory; and the migration of one."""

import contextlib
import ctypes
import json
import mmap
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import tempfile
import time

QEMU = "qemu-system-x86_64"
PAGE = 4096
MIB = 1 << 20
BLOCK = 16 * MIB  # what is filled or compared at once
LOW_MEMORY = MIB  # the BIOS's own; left as it is
BIOS_CONSOLE = 0x402  # where the BIOS says what it does
BIOS_IDLES = "No bootable device"  # the last thing that it says
DOWNTIME_LIMIT_MS = 300
NO_LIMIT = 10**12  # bytes a second; far above what a machine can do
DEADLINE = 120  # seconds for any answer and any migration
LOOK_AGAIN = 0.02  # seconds between two looks at what tells nobody of its changes
MOST_OTHER_PAGES = 256  # the BIOS's own, zero or written at the destination before they are compared


def accelerator():
    return "kvm" if os.access("/dev/kvm", os.R_OK | os.W_OK) else "tcg"


def await_that(holds, otherwise):
    give_up = time.monotonic() + DEADLINE
    while not holds():
        if time.monotonic() > give_up:
            raise RuntimeError(otherwise)
        time.sleep(LOOK_AGAIN)


class Guest:
    """A QEMU process. One that is to take a guest in waits for it; another is stopped until `start`."""

    def __init__(self, directory, name, mib, incoming):
        self.monitor_path, self.console, self.log = (
            pathlib.Path(directory, name + end) for end in (".monitor", ".console", ".log")
        )
        command = [QEMU, "-name", name, "-accel", accelerator(), "-m", f"{mib}M", "-nodefaults"]
        command += ["-no-user-config", "-display", "none"]
        command += ["-qmp", f"unix:{self.monitor_path},server=on,wait=off"]
        command += ["-debugcon", f"file:{self.console}"]
        command += ["-global", f"isa-debugcon.iobase={BIOS_CONSOLE}"]
        command += ["-incoming", "defer"] if incoming else ["-S"]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent
            )
        self.monitor = socket.socket(socket.AF_UNIX)
        self.monitor.settimeout(DEADLINE)
        try:
            await_that(self.connected, "QEMU's monitor does not answer")
            self.lines = self.monitor.makefile("r")
            self.message()
            self.events = []
            self.command("qmp_capabilities")
            # Guest memory is one mapping, whatever holes the guest sees in it.
            line = {"command-line": f"gpa2hva {LOW_MEMORY}"}
            answer = self.command("human-monitor-command", **line)
            self.base = int(re.search(r"is (0x[0-9a-f]+)", answer)[1], 16) - LOW_MEMORY
        except BaseException:
            self.end()
            raise

    def connected(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"QEMU does not start: {self.log.read_text().strip()}")
        return self.monitor.connect_ex(str(self.monitor_path)) == 0

    def message(self):
        line = self.lines.readline()
        if not line:
            raise RuntimeError(f"QEMU ended: {self.log.read_text().strip()}")
        return json.loads(line)

    def command(self, name, **arguments):
        request = {"execute": name, "arguments": arguments}
        self.monitor.sendall(json.dumps(request).encode() + b"\n")
        while True:
            answer = self.message()
            if "error" in answer:
                raise RuntimeError(f"{name}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
            self.events.append(answer)

    def await_completed(self):
        """Waits for the migration's end, by events, so that no question disturbs it."""
        status = None
        while status != "completed":
            event = self.events.pop(0) if self.events else self.message()
            if event["event"] == "MIGRATION":
                status = event["data"]["status"]
            if status in ("failed", "cancelled", "postcopy-paused"):
                problem = self.command("query-migrate").get("error-desc", "it says no more")
                raise RuntimeError(f"the migration is {status}: {problem}")

    def prepare(self, capabilities):
        states = [{"capability": name, "state": True} for name in capabilities]
        self.command("migrate-set-capabilities", capabilities=states)
        limits = {"max-bandwidth": NO_LIMIT, "downtime-limit": DOWNTIME_LIMIT_MS}
        self.command("migrate-set-parameters", **limits)

    def memory(self):
        """Its memory, as a file that is open while it is used."""
        return open(f"/proc/{self.process.pid}/mem", "r+b", buffering=0)

    def fill(self, noise, size):
        """Fills its memory with pages each of which bears its number in a block of noise."""
        block = bytearray(noise)
        with self.memory() as memory:
            for start in range(LOW_MEMORY, size, BLOCK):
                for offset in range(0, BLOCK, PAGE):
                    struct.pack_into("<Q", block, offset, (start + offset) // PAGE)
                left = memoryview(block)[: size - start]
                memory.seek(self.base + start)
                while left:
                    left = left[memory.write(left) :]

    def start(self):
        """Starts the BIOS, and waits until it has nothing left to do. What it sets up before, it
        writes; and it changes the layout of memory, upon which KVM takes every page for dirty."""
        self.command("cont")
        said = lambda: BIOS_IDLES in self.console.read_text()
        await_that(said, "the BIOS does not come to its end")

    def processor_time(self):
        """Processor time that the process has had, in seconds."""
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return sum(map(int, stat[11:13])) / os.sysconf("SC_CLK_TCK")

    def end(self):
        """Ends the process, by its number."""
        self.process.kill()
        self.process.wait()
        self.monitor.close()


def die_with_parent():
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def capabilities():
    """What this QEMU's migration can do."""
    with tempfile.TemporaryDirectory() as directory:
        guest = Guest(directory, "asked", 16, incoming=False)
        try:
            return {one["capability"] for one in guest.command("query-migrate-capabilities")}
        finally:
            guest.end()


def busy_time():
    """Time that all processors together were not idle, in seconds."""
    with open("/proc/stat") as stat:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def other_pages(one, other, size):
    """Pages in which the memories of two guests differ."""
    differing = 0
    with one.memory() as left, other.memory() as right:
        for start in range(0, size, BLOCK):
            blocks = []
            for guest, memory in ((one, left), (other, right)):
                memory.seek(guest.base + start)
                blocks.append(memory.read(min(BLOCK, size - start)))
            if blocks[0] != blocks[1]:
                pages = range(0, len(blocks[0]), PAGE)
                differing += sum(blocks[0][at : at + PAGE] != blocks[1][at : at + PAGE] for at in pages)
    return differing


def warm(size):
    """Has the system back as much memory as the destination is about to take, and gives it back. Where
    this machine is itself a guest, memory that nobody has used for some seconds may have gone back to
    its host; to have it again can take twenty times as long as to clear it."""
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        for page in range(0, size, PAGE):
            memory[page] = 1


def migrate(source, destination, scheme, extra):
    """Moves the guest, and gives what query-migrate says then and the share of the others: how many
    processors were busy with something else meanwhile."""
    for guest in (source, destination):
        guest.prepare(["events", *extra] + (["postcopy-ram"] if scheme == "post-copy" else []))
    destination.command("migrate-incoming", uri="tcp:127.0.0.1:0")
    port = destination.command("query-migrate")["socket-address"][0]["port"]
    ours = lambda: source.processor_time() + destination.processor_time()
    begun, before = time.monotonic(), busy_time() - ours()
    source.command("migrate", uri=f"tcp:127.0.0.1:{port}")
    if scheme == "post-copy":
        source.command("migrate-start-postcopy")
    source.await_completed()
    others = (busy_time() - ours() - before) / (time.monotonic() - begun)
    destination.await_completed()
    return source.command("query-migrate"), max(others, 0.0)


def measure(name, scheme, extra, mib, noise, await_quiet):
    """One migration between two new processes, and the proof that it carried every page."""
    size = mib * MIB
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as ends:
        source = Guest(directory, "source", mib, incoming=False)
        ends.callback(source.end)
        source.fill(noise, size)
        source.start()
        destination = Guest(directory, "destination", mib, incoming=True)
        ends.callback(destination.end)
        await_quiet()
        warm(size)
        told, others = migrate(source, destination, scheme, extra)
        status = destination.command("query-status")["status"]
        differing = other_pages(source, destination, size)
    ram, pages = told["ram"], size // PAGE
    if status != "running" or differing > MOST_OTHER_PAGES:
        raise RuntimeError(f"{name}: the guest is {status}, {differing} pages differ")
    if ram["normal"] < pages - 2 * MOST_OTHER_PAGES or ram["transferred"] < ram["normal"] * PAGE:
        raise RuntimeError(f"{name}: not all of {pages} pages were carried: {ram}")
    return {
        "total_s": told["total-time"] / 1000,
        "downtime_s": told["downtime"] / 1000,
        "bytes": ram["transferred"],
        "pages_normal": ram["normal"],
        "pages_zero": ram["duplicate"],
        "others_processors": round(others, 2),
    }
