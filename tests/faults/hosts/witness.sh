#!/bin/sh
# A job that tells the console of its host, to which no network leads, that it lives: at its start,
# each fifth of a second, and at its end.  TICKS is how long, in fifths; a `stubborn` one has to be
# killed.
say() { echo "RUN $1 $SPOOLQ_JOB_ID $SPOOLQ_ATTEMPT $$" >/run/console; }
look() { # set `now` to the hundredths of a second since the boot, whatever the clock says
    read -r now _ </proc/uptime
    now=${now%.*}${now#*.}
}
[ "$2" != stubborn ] || trap '' TERM
say start
look
until=$((now + 20 * $1))
while [ "$now" -lt "$until" ]; do
    sleep 0.2
    say lives
    look
done
say end
