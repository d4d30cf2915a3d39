"""Filesystems whose locks are local to each host: the second host's worker refuses to start."""

import os
from typing import Optional

from .. import uml
from ..cases import Bench, Case
from ..place import wait_for
from . import sftp
from .cluster import Cluster, unable
from .judging import acknowledged, judge, quick

_PORT = 2022


def _no_sshfs() -> Optional[str]:
    absent = [name for name in ("sshfs",) if not uml.find(name)]
    if absent or not os.path.exists(sftp.SERVER):
        return "these packages are not installed: sshfs openssh-sftp-server"
    return unable()


def _refuses(bench: Bench, cluster: Cluster) -> None:
    """See that the first host works, the second does not, and both are told why."""
    first, second = cluster.hosts
    workers = [first.worker("--count", "2")]
    ids = acknowledged(bench, [second.enqueue(quick(4))], 4)
    cluster.completed(4)
    refused = second.worker("--count", "2")
    over = wait_for(lambda: refused.code is not None, 60)
    bench.check(over and refused.code, f"the second host ends with {refused.code}: {refused.text}")
    bench.check("lock" in refused.text, f"it does not say why: {refused.text}")
    bench.check("Traceback" not in refused.text, f"a traceback: {refused.text}")
    bench.count("workers refused")
    found = second.spoolq("doctor")
    wait_for(lambda: found.code is not None, 60)
    bench.check("lock" in found.text and found.code, f"doctor says {found.code}: {found.text}")
    ids += acknowledged(bench, [second.enqueue(quick(4))], 4)
    cluster.completed(8)
    judge(bench, cluster, ids, workers)


def nolock(bench: Bench) -> None:
    """NFSv3 with `nolock`: each host's kernel keeps its locks to itself."""
    with Cluster(bench, 2, "vers=3,nolock,mountport=20048", role="server3") as cluster:
        _refuses(bench, cluster)


def _sshfs(bench: Bench) -> None:
    """sshfs has no locks that the server knows of."""
    with Cluster(bench, 2) as cluster:
        served = cluster.server.tell(f"$PYTHON {sftp.__file__} {_PORT}")
        bench.check(wait_for(lambda: served.lines, 30), "nobody serves SFTP")
        source = f"{cluster.server.ip}:/mnt/disk/export"
        for host in cluster.hosts:
            host.do("umount /mnt/nfs && modprobe -d /run/m fuse")
            host.do(f"sshfs -o directport={_PORT} {source} /mnt/nfs")
        _refuses(bench, cluster)


CASES = [
    Case("NFSv3 without locks", nolock, unable),
    Case("sshfs", _sshfs, _no_sshfs, is_long=True),
]
