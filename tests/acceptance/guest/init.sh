#!/bin/sh
# The init of a guest, a user-mode Linux whose root is the host's / by hostfs, read-only: it makes a
# spool at a path that needs every kind of escape, has the units for it written, and becomes systemd,
# which runs check.sh and no unit of the host's.
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o mode=755 tmp /run
mount -t cgroup2 none /sys/fs/cgroup
for word in $(cat /proc/cmdline); do
    case $word in spool.*=*) export "GUEST_${word#spool.}" ;; esac
done
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run/home NO_COLOR=1 LANG=C.UTF-8
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$GUEST_PATH"
mkdir -p /run/home /run/units '/run/a b%c$d'
cd /run || echo GUEST-FAILED cd
# A spoolq whose own path has blanks and signs in it too.
cat >'/run/a b%c$d/spoolq' <<END
#!/bin/sh
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH='$GUEST_PATH' NO_COLOR=1
exec '$GUEST_PYTHON' -m spoolq "\$@"
END
chmod +x '/run/a b%c$d/spoolq'
ln -s "$GUEST_PYTHON" '/run/a b%c$d/python' # beside which the script is looked for
spool='/run/a b%c$d/sp"o\ol'
"$GUEST_PYTHON" - "$spool" <<'END' || echo GUEST-FAILED install
import sys
sys.executable = "/run/a b%c$d/python"
from spoolq.cli import main
code = main.run(["init", sys.argv[1]])
code |= main.run(["--spool", sys.argv[1], "systemd", "install", "--to", "/run/units",
                  "--count", "2", "--stop-within", "3s", "--keep", "1s"])
sys.exit(code)
END
printf '[Unit]\nDefaultDependencies=no\nWants=check.service\n' >/run/units/check.target
cat >/run/units/check.service <<END
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/sh $GUEST_HERE/check.sh
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
END
mkdir /run/units/spoolq.service.d /run/units/spoolq-drain.timer.d
printf '[Service]\nWatchdogSec=4\nRestartSec=1\n' >/run/units/spoolq.service.d/quick.conf
printf '[Timer]\nOnCalendar=*:*:0/5\n' >/run/units/spoolq-drain.timer.d/quick.conf
for target in sysinit basic paths timers multi-user; do # of the host's units none, which take a minute
    printf '[Unit]\nDefaultDependencies=no\n' >/run/units/$target.target
done
export SYSTEMD_UNIT_PATH=/run/units container=guest
exec /lib/systemd/systemd --system --unit=check.target --log-target=null --show-status=no
