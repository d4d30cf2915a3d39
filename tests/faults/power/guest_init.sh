#!/bin/sh
# The init of the guest: a user-mode Linux whose root is the host's / by hostfs, read-only.
# disk=log: /dev/ubda behind dm-log-writes, every write, flush and mark logged on /dev/ubdb.
# disk=plain: /dev/ubda itself, for a guest that is killed.
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o mode=755 tmp /run
for word in $(cat /proc/cmdline); do
    case $word in spool.*=*) export "POWER_${word#spool.}" ;; esac
done
mkdir -p /run/m/lib /run/mnt /run/home
device=/dev/ubda
if [ "$POWER_DISK" = log ]; then
    ln -s /usr/lib/uml/modules /run/m/lib/modules
    modprobe -d /run/m dm-log-writes || echo GUEST-FAILED module
    sectors=$(cat /sys/block/ubda/size)
    dmsetup --noudevsync create log --table "0 $sectors log-writes /dev/ubda /dev/ubdb" ||
        echo GUEST-FAILED device
    device=/dev/mapper/log
    [ -e $device ] || device=/dev/dm-0
fi
mount -t "$POWER_FS" "$device" /run/mnt || echo GUEST-FAILED mount
hostname guest
export TERM=dumb NO_COLOR=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$POWER_PATH" HOME=/run/home PATH LANG=C.UTF-8
cd /run/mnt || echo GUEST-FAILED cd
"$POWER_PYTHON" "$POWER_SCRIPT" /run/mnt/spool || echo GUEST-FAILED workload
cd /
if [ "$POWER_DISK" = log ]; then
    dmsetup message log 0 mark end
    umount /run/mnt
    dmsetup --noudevsync remove log
fi
echo GUEST-DONE
echo o > /proc/sysrq-trigger
sleep 9
