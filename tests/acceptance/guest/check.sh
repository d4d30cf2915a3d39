# What happens to jobs under a real systemd; each line that begins with TOLD is for the test.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run/home NO_COLOR=1
spool='/run/a b%c$d/sp"o\ol'

spoolq() { '/run/a b%c$d/spoolq' --spool "$spool" "$@"; }
state() { for s in pending processing failed completed dead; do
    for f in "$spool/$s/"*".$1"*; do [ -e "$f" ] && echo $s; done; done; }
is() { systemctl show "$1" -p "$2" --value; }
until_is() { # VALUE COMMAND...: wait until a command says so
    want=$1; shift
    for _ in $(seq 300); do got=$("$@" 2>&1); [ "$got" = "$want" ] && break; sleep 0.2; done
    echo "$got"
}
told() { echo "TOLD $*"; }

systemctl start spoolq.service
told ready "$(is spoolq.service ActiveState)" # Type=notify: the start waited for it
spoolq enqueue --id long 'trap "" TERM; sleep 600' >/dev/null
told long "$(until_is processing state long)"
from=$(date +%s)
systemctl stop spoolq.service # 3 s for what runs, 5 of grace since it heeds no TERM
took=$(($(date +%s) - from))
told stopped "$(is spoolq.service Result)" "$([ $took -ge 7 ] && [ $took -lt 30 ] && echo in time || echo $took)"
told interrupted "$(state long)" # and not failed: the attempt is given back
spoolq cancel long 2>/dev/null

systemctl start spoolq.service
pid=$(is spoolq.service MainPID)
kill -STOP "$pid"
told watchdog "$(until_is watchdog is spoolq.service Result)"
told anew "$(until_is active is spoolq.service ActiveState)"
systemctl stop spoolq.service

systemctl start spoolq-drain.path
told waiting "$(is spoolq-drain.path SubState)"
spoolq enqueue --id one true >/dev/null 2>&1
told arrived "$(until_is completed state one)"
told left "$(until_is inactive is spoolq-drain.service ActiveState)"
printf '{"command": "true"}' >"$spool/tmp/new" && mv "$spool/tmp/new" "$spool/pending/dropped.json"
told dropped "$(until_is completed state dropped)"
told left "$(until_is inactive is spoolq-drain.service ActiveState)"

# A job for later starts a worker once, and not for ever.
before=$(is spoolq-drain.service InactiveEnterTimestampMonotonic)
spoolq enqueue --id later --in 1h true >/dev/null 2>&1
changed() { [ "$(is spoolq-drain.service InactiveEnterTimestampMonotonic)" != "$before" ] && echo yes; }
told later "$(until_is yes changed)" "$(state later)"
sleep 3 # in which nothing is to happen
settled=$(is spoolq-drain.service InactiveEnterTimestampMonotonic)
sleep 3
told quiet "$([ "$settled" = "$(is spoolq-drain.service InactiveEnterTimestampMonotonic)" ] && echo yes)"
systemctl stop spoolq-drain.path

# What no event told of, the timer finds.
spoolq enqueue --id unseen true >/dev/null 2>&1
systemctl start spoolq-drain.timer
told unseen "$(for _ in $(seq 3); do until_is completed state unseen; done | tail -n 1)"
systemctl stop spoolq-drain.timer

purged() { # what ended within the last second stays, for the next night
    sleep 2
    systemctl start spoolq-purge.service
    ls "$spool/completed" | wc -l
}
left=$(for _ in 1 2 3; do left=$(purged); [ "$left" != 0 ] || break; done; echo "$left")
told purged "$(is spoolq-purge.service Result)" "$left"
echo GUEST-DONE
echo o >/proc/sysrq-trigger
