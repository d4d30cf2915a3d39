"""Submit a job to a spool: python3 submit.py SPOOL [COMMAND]; else COMMAND is read from stdin.

In a program: submit(SPOOL, {"command": ["ls", "-l"], "priority": 7})
"""

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
    now = time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds)) + f"{nanoseconds // 1000:06}Z"
    name = f"{now}.p{job.get('priority', 5)}.a0.{job_id}.json"
    made = os.path.join(spool, "tmp", name)
    text = json.dumps(job).encode("ascii") + b"\n"
    is_shared = os.stat(os.path.join(spool, "tmp")).st_mode & stat.S_ISGID  # a group's spool

    descriptor = os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o660 if is_shared else 0o600)
            file.write(text)
            file.flush()
            os.fsync(descriptor)  # the data
        os.link(made, os.path.join(spool, "pending", name))  # a new name, and never over another
    finally:
        os.unlink(made)

    pending = os.open(os.path.join(spool, "pending"), os.O_RDONLY)
    try:
        os.fsync(pending)  # the name
    finally:
        os.close(pending)
    return job_id


if __name__ == "__main__":
    command = os.fsencode(sys.argv[2]) if len(sys.argv) > 2 else sys.stdin.buffer.read()
    print(submit(sys.argv[1], {"command": command.decode("utf-8")}))
