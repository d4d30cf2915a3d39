"""Submit a job to a spool: python3 submit.py SPOOL [COMMAND]; else COMMAND is read from stdin."""

import json
import os
import stat
import sys
import time
import uuid


def submit(spool, job):
    # A name of the form: time in UTC with microseconds, priority, attempts so far, id.
    job_id = uuid.uuid4().hex
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    now = time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds))
    name = f"{now}{nanoseconds // 1000:06}Z.p5.a0.{job_id}.json"
    made = os.path.join(spool, "tmp", name)
    text = json.dumps(job).encode("ascii") + b"\n"

    in_group = os.stat(os.path.join(spool, "tmp")).st_mode & stat.S_ISGID
    os.umask(0o007 if in_group else 0o077)
    with open(made, "xb") as file:  # an exclusive create
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # the data
            os.link(made, os.path.join(spool, "pending", name))  # never over another
        finally:
            os.unlink(made)

    pending = os.open(os.path.join(spool, "pending"), os.O_RDONLY)
    os.fsync(pending)  # the name
    os.close(pending)
    return job_id


if __name__ == "__main__":
    command = os.fsencode(sys.argv[2]) if len(sys.argv) > 2 else sys.stdin.buffer.read()
    print(submit(sys.argv[1], {"command": command.decode("utf-8")}))
