"""A producer that does all as it should, but for one fault: broken.py FAULT SPOOL COMMAND.

Each is caught by exactly the rule that it breaks; without a fault it breaks none.
"""

import os
import stat
import sys
import time

# What json.dumps makes of a text; to import json takes longer than all else here.
from _json import encode_basestring_ascii as quoted

fault, spool, command = sys.argv[1], sys.argv[2], os.fsencode(sys.argv[3])
pending = os.path.join(spool, "pending")
SLOW = {"slow, in place": 0.0, "in place, for long": 0.3}  # seconds between two writes


def made_id():
    if fault == "constant id":
        return "job-1"
    if fault == "id of time and process":
        return f"{os.getpid()}-{time.time_ns()}"
    if fault == "id of 32 bits":
        return os.urandom(4).hex()
    return os.urandom(16).hex()


def made_name(job_id):
    now = time.time()
    if fault == "local time":
        now += 2 * 3600
    stamp = (
        time.strftime("%Y%m%dT%H%M%S", time.gmtime(now)) + f"{time.time_ns() // 1000 % 10**6:06}"
    )
    if fault == "time without its Z":
        return f"{stamp}.p5.a0.{job_id}.json"
    if fault == "no .json":
        return f"{job_id}.job"
    if fault == "an attempt already":
        return f"{stamp}Z.p5.a1.{job_id}.json"
    return f"{stamp}Z.p5.a0.{job_id}.json"


def made_text():
    if fault == "no escapes":
        plain = command.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        return b'{"command": "' + plain + b'"}\n'
    text = command.decode("utf-8", "surrogateescape" if fault == "half surrogates" else "strict")
    if fault == "stripped":
        text = text.strip()
    return f'{{"command": {quoted(text)}}}\n'.encode("ascii")


def tell(job_id):
    if fault == "tells a sentence":
        print(f"submitted {job_id}", flush=True)
    elif fault == "tells another id":
        print(os.urandom(16).hex(), flush=True)
    else:
        print(job_id, flush=True)


def sync(descriptor):
    try:
        os.fsync(descriptor)
    except OSError:
        if fault == "syncs once more":
            os.fsync(descriptor)
        elif fault != "syncs and does not look":
            raise


def publish(made, job):
    if fault == "renames over":
        os.rename(made, job)
    elif fault == "copies":
        with open(made, "rb") as source, open(job, "xb") as target:
            target.write(source.read())
            target.flush()
            sync(target.fileno())
        os.unlink(made)
    elif fault == "replaces what is taken":
        try:
            os.link(made, job)
            os.unlink(made)
        except FileExistsError:
            os.rename(made, job)
    elif fault == "does not look at its link":
        try:
            os.link(made, job)
        except FileExistsError:
            pass
        os.unlink(made)
    else:
        os.link(made, job)
        if fault != "leaves its file":
            os.unlink(made)


def write(made, text):
    flags = os.O_CREAT | os.O_WRONLY | (0 if fault == "not exclusive" else os.O_EXCL)
    file = os.open(made, flags, 0o666)
    try:
        if fault in SLOW:
            os.write(file, text[:10])
            text = text[10:]
            time.sleep(SLOW[fault])
        if fault == "does not look at writes":
            os.write(file, text)
        else:
            while text:
                text = text[os.write(file, text) :]
        if fault not in ("no sync", "syncs after that"):
            sync(file)
    except OSError:
        if fault != "leaves its file after an error":
            os.unlink(made)
        raise
    return file


if fault == "makes a spool":
    os.makedirs(pending, exist_ok=True)
    os.makedirs(os.path.join(spool, "tmp"), exist_ok=True)
in_group = os.stat(pending).st_mode & stat.S_ISGID and fault != "its own alone in a group"
os.umask(0o002 if fault == "writable by its group" else 0o007 if in_group else 0o077)
text = made_text()
job_id = made_id()
name = made_name(job_id)
job = os.path.join(pending, name)
in_place = fault == "in place" or fault in SLOW
place = "." if fault == "made elsewhere" else "pending" if in_place else "tmp"
made = os.path.join(spool, place, name)
if fault == "tells first":
    tell(job_id)
file = write(made, text)
if not in_place:
    try:
        publish(made, job)
    except OSError:
        os.unlink(made)
        raise
if fault == "syncs after that":
    sync(file)
if fault == "writes after that":
    os.write(file, b"\n")
others = [] if not fault.endswith("all there is") else os.listdir(os.path.join(spool, "tmp"))
for other in (other for other in others if not other.startswith(".")):
    if fault == "removes all there is":
        os.unlink(os.path.join(spool, "tmp", other))
    else:
        os.rename(os.path.join(spool, "tmp", other), os.path.join(pending, other))
if fault == "notes it":
    with open(os.path.join(spool, "logs", "submitted"), "a") as notes:
        print(job_id, file=notes)
if fault == "tells before the name is synced":
    tell(job_id)
if fault != "name not synced":
    directory = os.open(pending, os.O_RDONLY)
    sync(directory)
if not fault.startswith("tells before") and fault != "tells first":
    tell(job_id)
if fault == "ends with 1":
    sys.exit(1)
