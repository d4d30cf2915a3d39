"""A simulation of workers that share spools: who waits for what, and for how long.

What is in it, because it was measured to matter:

- A worker is one loop. It claims, starts, records and moves, one thing at a time, each on a core.
- While a command is started the worker stands still; the command itself takes a core beside it.
- Every worker goes through the same names in the same order. A name that another has claimed costs
  a failed rename: so of N workers each loses N - 1 claims for each that it wins, until it looks at
  the directory again.
- Renames between directories are one at a time on a filesystem, and so are syncs, which workers
  share among all that has ended meanwhile.
- An arrival wakes every worker that has nothing to do.

What is not: reads of cold caches, other programs, a kernel's scheduler (cores are given first come,
first served), and failures. Time is in seconds. A job that costs nothing to run says how much the
queue carries; with `nap` it only takes time, with `command` it needs a core.
"""

from typing import Any, Generator, List, NamedTuple

import simpy

LOOK_SHARE = 10  # a look at the directory may cost a tenth of the time
TICK = 1.0  # what no event told is noticed so often
WINDOW = 50_000  # names that a look keeps
Steps = Generator[simpy.Event, Any, None]


class Costs(NamedTuple):
    """What each step takes, in seconds."""

    start: float  # worker: claim, read, prepare
    spawn: float  # worker and a core stand still until the command has begun
    command: float  # a core, for what the command itself does
    end: float  # worker: record and move
    lost: float  # worker: a claim that another was faster with
    rename: float  # of `start` and `end`, what no two do at once on one filesystem
    look: float  # worker: a look at the directory, for each name in it
    wake: float  # until somebody who sleeps is on a core again
    herd: float  # worker: to be woken for a job that another takes
    sync: float  # the filesystem: to make a batch durable; 0 where nothing is synced
    durable: float  # a core beside the worker, for each job that is made durable
    crowd: float  # how many times longer all takes while another core is busy too
    pace: float = 0.01  # between two batches of one worker
    away_start: float = 0.0  # worker: it waits for a server, on no core, before the command
    away_end: float = 0.0  # and after it
    away_lost: float = 0.0  # and for a claim that is lost


class Case(NamedTuple):
    """What is simulated: the hosts are alike, and each spool is on one of them."""

    workers: int  # all together
    slots: int = 1  # of each worker
    spools: int = 1  # all together
    hosts: int = 1
    cores: int = 2  # of each host
    nap: float = 0.0  # seconds that a job takes besides its command's time on a core
    backlog: int = 0  # jobs that wait from the beginning, all together
    arrivals: float = 0.0  # jobs a second that come, all together, at random
    seconds: float = 3.0  # simulated
    warm: float = 0.5  # of these, not counted


class Host:
    """Cores, and a filesystem with one journal."""

    def __init__(self, env: simpy.Environment, cores: int) -> None:
        self.cores = simpy.Resource(env, cores)
        self.renames = simpy.Resource(env, 1)
        self.journal = simpy.Resource(env, 1)


class Spool:
    """A directory of waiting jobs: `claimed` of them are gone, and `came` have ever been there."""

    def __init__(self, env: simpy.Environment, host: Host, backlog: int) -> None:
        self.host = host
        self.claimed = 0
        self.came = backlog
        self.arrived_at: List[float] = []  # of those that came after the backlog
        self.backlog = backlog
        self.bell = env.event()

    def waits(self) -> int:
        """Return how many jobs are there."""
        return self.came - self.claimed


class Figures:
    """What was counted after the warm-up."""

    def __init__(self) -> None:
        self.ran = 0
        self.lost = 0
        self.waits: List[float] = []  # from the arrival to the start of the command
        self.a_second = 0.0


class Worker:
    """One loop over one spool."""

    def __init__(
        self,
        env: simpy.Environment,
        number: int,
        spool: Spool,
        case: Case,
        costs: Costs,
        figures: Figures,
    ) -> None:
        self.env, self.spool, self.case, self.costs = env, spool, case, costs
        self.figures = figures
        self.seen = 0  # names that this worker has come past, in the order of all
        self.free = case.slots
        self.ended = 0  # runs to be recorded
        self.unsynced = 0  # and recorded
        self.synced = 0  # and to be moved
        self.bell = env.event()
        self.known = WINDOW  # up to where it knows names: it has had its first look
        self.next_look = self.between_looks() * (1 + number) / case.workers
        self.next_batch, self.is_syncing = 0.0, False

    def loop(self) -> Steps:
        """Hear of what has ended, fill the free slots, move what is recorded, sleep."""
        while True:
            if self.ended:
                yield from self.record()
            while self.free and self.spool.waits():
                yield from self.claim()
            if self.synced:
                yield from self.move()
            if not (self.ended or self.synced or (self.free and self.spool.waits())):
                yield from self.sleep()

    def claim(self) -> Steps:
        """Go past the names that others have claimed, and take the first that is there."""
        spool, costs = self.spool, self.costs
        if self.env.now >= self.next_look or self.seen >= self.known:
            yield from self.look()
        behind = spool.claimed - self.seen
        if behind:  # many at a time: others claim on meanwhile
            self.seen = spool.claimed
            if self.env.now >= self.case.warm:
                self.figures.lost += behind
            yield from self.compute(costs.lost * behind)
            yield from self.wait(costs.away_lost * behind)
            return
        with spool.host.renames.request() as turn:
            yield turn
            if self.seen < spool.claimed or not spool.waits():
                return  # somebody was faster, just now
            number = spool.claimed
            spool.claimed = self.seen = number + 1
            yield from self.compute(costs.rename)
        self.free -= 1
        yield from self.wait(costs.away_start)
        yield from self.compute(costs.start - costs.rename)
        yield from self.compute(costs.spawn)
        self.env.process(self.run())
        if self.env.now >= self.case.warm:
            self.figures.ran += 1
            if number >= spool.backlog:
                came = spool.arrived_at[number - spool.backlog]
                self.figures.waits.append(self.env.now - came)

    def look(self) -> Steps:
        """Read the directory: what others have claimed is not in it, and so much is kept of it."""
        began, self.seen = self.env.now, self.spool.claimed
        self.known = self.seen + WINDOW
        yield from self.compute(self.costs.look * self.spool.waits())
        self.next_look = self.env.now + max(TICK, LOOK_SHARE * (self.env.now - began))

    def between_looks(self) -> float:
        """Return the seconds from look to look, where all cores are busy with looks and jobs."""
        crew = self.case.workers / self.case.spools / self.case.cores
        look = self.costs.look * self.spool.backlog
        return max(TICK, LOOK_SHARE * look * max(crew, 1.0))

    def run(self) -> Steps:
        """Be the command."""
        yield from self.compute(self.costs.command)
        if self.case.nap:
            yield self.env.timeout(self.case.nap)
        self.ended += 1
        self.ring()

    def record(self) -> Steps:
        """Write down how runs ended; where that is synced, a thread beside the loop does it."""
        ended, self.ended = self.ended, 0
        self.free += ended
        yield from self.compute((self.costs.end - 2 * self.costs.rename) * ended)
        yield from self.wait(self.costs.away_end * ended)
        if not self.costs.sync:
            self.synced += ended
            return
        self.unsynced += ended
        if not self.is_syncing:
            self.is_syncing = True
            self.env.process(self.sync())

    def move(self) -> Steps:
        """Put the outcomes in the place of the claims, and the jobs where they belong."""
        synced, self.synced = self.synced, 0
        for _ in range(synced):
            with self.spool.host.renames.request() as turn:
                yield turn
                yield from self.compute(2 * self.costs.rename)

    def sync(self) -> Steps:
        """Be the thread that makes outcomes durable, a batch at a time."""
        while self.unsynced:
            yield self.env.timeout(max(self.next_batch - self.env.now, 0.0))
            self.next_batch = self.env.now + self.costs.pace
            batch, self.unsynced = self.unsynced, 0
            with self.spool.host.journal.request() as turn:
                yield turn
                yield self.env.timeout(self.costs.sync)
            yield from self.compute(self.costs.durable * batch)
            self.synced += batch
            self.ring()
        self.is_syncing = False

    def sleep(self) -> Steps:
        """Wait for the end of a run, or, with a free slot, for an arrival."""
        self.bell = self.env.event()
        woken_by = [self.bell, self.spool.bell] if self.free else [self.bell]
        yield self.env.any_of(woken_by)
        yield self.env.timeout(self.costs.wake)
        if not self.bell.triggered:
            yield from self.compute(self.costs.herd)
            if not self.spool.waits():  # another was faster
                self.seen = self.spool.claimed

    def ring(self) -> None:
        """Wake the loop."""
        if not self.bell.triggered:
            self.bell.succeed()

    def wait(self, seconds: float) -> Steps:
        """Wait for somebody who is not on this host."""
        if seconds > 0:
            yield self.env.timeout(seconds)

    def compute(self, seconds: float) -> Steps:
        """Take a core for so long, or longer where others are busy too."""
        cores = self.spool.host.cores
        if seconds > 0:
            with cores.request() as turn:
                yield turn
                yield self.env.timeout(seconds * (self.costs.crowd if cores.count > 1 else 1.0))


def arrive(env: simpy.Environment, spools: List[Spool], case: Case, chance: Any) -> Steps:
    """Let jobs come at random moments, each to a spool by chance, as by the hash of its id."""
    while True:
        yield env.timeout(chance.expovariate(case.arrivals))
        spool = chance.choice(spools)
        spool.came += 1
        spool.arrived_at.append(env.now)
        bell, spool.bell = spool.bell, env.event()
        bell.succeed()


def simulate(case: Case, costs: Costs, chance: Any) -> Figures:
    """Return what was counted of a case. `chance` is a random.Random, for the arrivals."""
    env, figures = simpy.Environment(), Figures()
    hosts = [Host(env, case.cores) for _ in range(case.hosts)]
    spools = [
        Spool(env, hosts[number % case.hosts], case.backlog // case.spools)
        for number in range(case.spools)
    ]
    for number in range(case.workers):
        worker = Worker(env, number, spools[number % case.spools], case, costs, figures)
        env.process(worker.loop())
    if case.arrivals:
        env.process(arrive(env, spools, case, chance))
    env.run(until=case.seconds)
    figures.a_second = figures.ran / (case.seconds - case.warm)
    return figures
