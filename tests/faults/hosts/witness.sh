#!/bin/sh
# A job that tells the console of its host, to which no network leads, that it lives: at its start,
# each fifth of a second, and at its end.  TICKS is how long, in fifths; a `stubborn` one has to be
# killed.
say() { echo "RUN $1 $SPOOLQ_JOB_ID $SPOOLQ_ATTEMPT $$" >/run/console; }
[ "$2" != stubborn ] || trap '' TERM
say start
ticks=$1
while [ "$ticks" -gt 0 ]; do
    sleep 0.2
    say lives
    ticks=$((ticks - 1))
done
say end
