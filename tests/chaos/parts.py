"""The parts: each does its worst to a world and lets it come to rest.

A part takes a world whose app nobody has started yet, and returns how often it did its worst. What
it finds beside what the judge sees goes to the world's problems.
"""

from __future__ import annotations

import io
import shutil
import socket
import sqlite3
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos import forged
from tests.chaos.cloud import BASES
from tests.chaos.processes import ROOT, Host
from tests.chaos.world import World

OLDER = "144933c5d954d4b309c793c9a6c5cc2ee8089799"
"""The version that is gone back to: the last one whose store told no version on Azure Storage."""

OLDER_SAYS = "use the newer code"
"""What it says, where it says anything."""

_DAY = 86400.0
_LEASE = 80.0
"""Seconds after which the lease of a host that was stopped is over; see SHORT."""

_MIB = 1024 * 1024


class LeftOut(Exception):
    """The part cannot be played on this machine; the message tells why."""


@dataclass(frozen=True, slots=True)
class Part:
    """One way to do one's worst.

    Attributes:
        play: What does it; returns how often.
        what: What it counts.
        stores: Where it can be played.
    """

    play: Callable[[World], int]
    what: str
    stores: tuple[str, ...] = ("sqlite", "azurite")


def kills(world: World) -> int:
    """Kill the host at random moments, at work and while it starts."""
    host = world.host()
    host.started()
    world.subscribe()
    done = replayed = 0
    for _ in range(2):
        world.push(BASES[0])
        for kill in range(10):
            # Most of them at work, some of them before there is a host.
            if world.chance.random() < 0.7:
                host.started()
            world.pause(0, 3)
            world.kill(host)
            done += 1
            if kill == 4:  # a push that nobody is there to hear
                world.push(BASES[1])
            host = world.host()
        world.settle()
        # What a host died at five times is a dead letter, and a person's to send again.
        replayed += world.replay_letters()
        world.settle()
    world.notes.append(f"{replayed} dead letters were replayed")
    return done


def stops(world: World) -> int:
    """Stop one of two hosts at work until its leases are over; then it goes on, none the wiser."""
    hosts = [world.host(), world.host(name="second")]
    for host in hosts:
        host.started()
    world.subscribe()
    done = 0
    for host in hosts:
        world.push()
        world.pause(0.3, 2)
        host.stop()
        try:
            world.pause(_LEASE, _LEASE)
        finally:
            host.go_on()
        done += 1
        world.settle()
    return done


def two_hosts(world: World) -> int:
    """Let two hosts work on one store, each with timers of its own; kill one of them at times."""
    hosts = {name: world.host(name=name) for name in ("first", "second")}
    for host in hosts.values():
        host.started()
    world.subscribe()
    rounds = 4
    for number in range(rounds):
        world.push()
        if number % 2:
            world.pause(0, 3)
            name = world.chance.choice(sorted(hosts))
            world.kill(hosts[name])
            hosts[name] = world.host(name=name)
        world.settle()
    return rounds


def clocks(world: World) -> int:
    """Work with a clock that is days ahead or behind, end in the midst of it, go on rightly."""
    right = world.host()
    right.started()
    world.subscribe()
    world.push()
    world.settle()
    world.kill(right)
    wrong = (2 * _DAY, -3 * _DAY, 400 * _DAY)
    for seconds in wrong:
        host = world.host(ahead=seconds)
        host.started()
        world.push()
        world.pause(1, 4)
        world.kill(host)
        right = world.host()
        right.started()
        world.settle()
        world.push()
        world.settle()
        world.kill(right)
    both = [world.host(), world.host(ahead=_DAY, name="second")]
    for host in both:
        host.started()
    world.push()
    world.settle()
    world.kill(both[1])
    world.push()
    world.settle()
    return len(wrong) + 1


def floods(world: World) -> int:
    """Flood the webhook while a real push comes."""
    host = world.host()
    host.started()
    world.subscribe()
    event = forged.text([world.event(BASES[0], "9", forged.DIGEST)])
    many = [world.event("images/flood", "", forged.digest(n)) for n in range(800)]
    many += [world.event("images/flood", f"{n}", forged.digest(n)) for n in range(200)]
    crowded = [*map(forged.least, many), *map(forged.nameless, range(4000))]
    small = forged.text(crowded)
    size = 50 * _MIB
    with ExitStack() as opened, ThreadPoolExecutor(16) as pool:
        opened.enter_context(_slow_bodies(host, 200))
        crowd = pool.submit(host.post, small)
        large = [pool.submit(host.post, b"[" + b" " * size + b"]") for _ in range(3)]
        keyless = [pool.submit(host.post, b"[" + b" " * size + b"]", "") for _ in range(4)]
        wrong = [pool.submit(host.post, event, f"wrong {n}") for n in range(3000)]
        world.push()
        _expect(world, "wrong keys", {f.result() for f in wrong}, {401})
        _expect(world, "large bodies without a key", {f.result() for f in keyless}, {401, 0})
        _expect(world, "large bodies", {f.result() for f in large}, {413, 0})
        _expect(world, "5,000 events in a body", {crowd.result()}, {202})
        world.settle()
    world.notes.append(f"the host never had more than {host.most_memory()} MiB")
    world.push()
    world.settle()
    return len(wrong) + len(keyless) + len(large) + len(crowded) + 200


def poison(world: World) -> int:
    """Put what is no message, or forged, into every queue, and forged events before the door."""
    host = world.host()
    host.started()
    world.subscribe()
    world.push()
    world.settle()
    sent = 0
    for queue, body in forged.messages(world):
        world.send(queue, body)
        sent += 1
    answers = {host.post(body) for body in forged.events(world)}
    if 0 in answers:
        world.problems.append("the host did not answer an event at all")
    world.settle()
    world.push()
    world.settle()
    world.notes.append(f"{world.discard_letters()} dead letters were discarded")
    return sent + forged.EVENTS


def storage(world: World) -> int:
    """Let the store be full, read-only, corrupt and deleted, or end and start it in mid-work."""
    return _azure_storage(world) if world.store == "azurite" else _embedded_store(world)


def _azure_storage(world: World) -> int:
    host = world.host()
    host.started()
    world.subscribe()
    rounds = 5
    for _ in range(rounds):
        world.push()
        world.pause(0, 3)
        world.storage_anew()
        world.settle()
    return rounds


def _embedded_store(world: World) -> int:
    world.open.enter_context(_small_disk(world.data))
    host = world.host()
    host.started()
    world.subscribe()
    world.push()
    world.settle()
    for trouble in (_full, _deleted):
        trouble(world, host)
        world.settle()
    for damage in (_corrupt, _no_database, _read_only):
        damage(world)
        world.host().started()
        world.settle()
    world.push()
    world.settle()
    return 5


def _refuses(world: World, host: Host, why: str) -> None:
    """See that an event is not acknowledged that the store cannot keep."""
    digest = world.push()
    answer = host.post(forged.text([world.event(BASES[-1], "9", digest)]))
    if answer and answer < 500:
        world.problems.append(f"an event was acknowledged ({answer}) by a store that is {why}")


def _full(world: World, host: Host) -> None:
    filler = world.data / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 4096):
                pass
        except OSError:
            pass  # now it is full
    # What still fits into the pages that the file has is kept, and may be acknowledged.
    for more in range(200):
        if host.post(forged.text([world.event("images/filler", f"{more}", forged.DIGEST)])) >= 500:
            break
    else:
        world.problems.append("200 events were acknowledged on a full disk")
    _refuses(world, host, "full")
    filler.unlink()


def _deleted(world: World, host: Host) -> None:
    for file in world.data.glob("rebuilder.db*"):
        file.unlink()
    world.push()
    if host.post(b"[]") >= 500:
        world.problems.append("no events at all are refused after the file was deleted")


@contextmanager
def _put_back(world: World) -> Iterator[None]:
    """Keep a copy of the store, as a person has, and bring it back at the end."""
    file, copy = world.data / "rebuilder.db", world.data.parent / "copy.db"
    copy.unlink(missing_ok=True)
    with closing(sqlite3.connect(file)) as kept, closing(sqlite3.connect(copy)) as made:
        kept.backup(made)
    yield
    for left in world.data.iterdir():
        left.unlink()
    shutil.copyfile(copy, file)


def _corrupt(world: World) -> None:
    """Write over the first pages while a host has the file open."""
    (host,) = world.hosts
    with _put_back(world):
        with (world.data / "rebuilder.db").open("r+b") as file:
            file.write(world.chance.randbytes(16384))
        for beside in world.data.glob("rebuilder.db-*"):
            beside.write_bytes(b"")
        _refuses(world, host, "corrupt")
        world.kill(host)


def _no_database(world: World) -> None:
    """Begin on a file that is no database."""
    world.kill(*world.hosts)
    with _put_back(world):
        for file in world.data.iterdir():
            file.unlink()
        (world.data / "rebuilder.db").write_bytes(b"this is no database at all\n" * 1000)
        host = world.host()
        _refuses(world, host, "no database")
        world.kill(host)


def _read_only(world: World) -> None:
    """Begin on a disk that cannot be written."""
    world.kill(*world.hosts)
    _mount("-o", "remount,ro", str(world.data))
    try:
        host = world.host()
        _refuses(world, host, "read-only")
        world.kill(host)
    finally:
        _mount("-o", "remount,rw", str(world.data))


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    """Let a folder be a small disk of its own.

    Raises:
        LeftOut: Only root can make one, where it can be made at all.
    """
    try:
        _mount("-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder))
    except (OSError, subprocess.CalledProcessError) as error:
        raise LeftOut("a disk that is full or read-only takes root and mount") from error
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


def versions(world: World) -> int:
    """Take an older version's data over in mid-work, go back to it, and forth again."""
    code = _older_code(world)
    older = world.host(code=code)
    if older.started()["code"] != str(code):
        world.problems.append("it was not the older code that ran")
    world.subscribe()
    world.push()
    world.settle()
    world.push()
    world.pause(0.5, 3)
    world.kill(older)
    world.host().started()
    world.settle()
    steps = 1
    for _ in range(2):
        (newer,) = world.hosts
        world.push()
        world.pause(0, 2)
        world.kill(newer)
        older = world.host(code=code)
        told = older.started()
        before = len(world.runs())
        digest = world.push(BASES[0])
        answer = older.post(forged.text([world.event(BASES[0], "9", digest)]))
        world.pause(10, 10)
        more = len(world.runs()) - before
        says = OLDER_SAYS in older.said()
        world.notes.append(
            f"back at the older version: {len(told['functions'])} functions, an event is answered"
            f" by {answer}, {more} run(s) meanwhile; it says why: {says}"
        )
        world.kill(older)
        world.host().started()
        world.settle()
        steps += 2
    return steps


def _older_code(world: World) -> Path:
    folder = world.data.parent / "older"
    command = ["git", "archive", OLDER]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        raise LeftOut(f"the older version {OLDER[:7]} is not in this copy of the repository")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder.resolve()


@contextmanager
def _slow_bodies(host: Host, number: int) -> Iterator[None]:
    """Keep so many requests open whose bodies come byte by byte."""
    port = int(host.started()["url"].rpartition(":")[2])
    target = "/runtime/webhooks/eventgrid?functionName=image_pushed"
    head = (
        f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\naeg-event-type: Notification\r\n"
        f"x-functions-key: {host._keys['eventgrid']}\r\ncontent-length: 100000\r\n\r\n["
    )
    over = threading.Event()
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(number)]

    def drip() -> None:
        pause = 1.0
        while not over.wait(pause):
            for each in held:
                try:
                    each.send(b" ")
                except OSError:
                    continue  # it was cut off, which is its right

    for each in held:
        each.sendall(head.encode())
    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for each in held:
            each.close()


def _expect(world: World, what: str, answers: set[int], wanted: set[int]) -> None:
    if not answers <= wanted:
        world.problems.append(f"{what}: answered by {sorted(answers)}, not {sorted(wanted)}")


PARTS: Mapping[str, Part] = {
    "kills": Part(kills, "kills"),
    "stops": Part(stops, "stops beyond a lease"),
    "hosts": Part(two_hosts, "rounds of two hosts"),
    "clocks": Part(clocks, "wrong clocks"),
    "floods": Part(floods, "requests and events"),
    "storage": Part(storage, "troubles of the store"),
    "poison": Part(poison, "forged messages and events"),
    "versions": Part(versions, "changes of version"),
}
