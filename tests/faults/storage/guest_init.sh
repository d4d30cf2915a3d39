#!/bin/sh
# The init of the guest: a user-mode Linux whose root is the host's / by hostfs, read-only.
# /dev/ubda is a blank disk; the case works on it, with its own files in memory.
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o mode=755 tmp /run
for word in $(cat /proc/cmdline); do
    case $word in spool.*=*) export "GUEST_${word#spool.}" ;; esac
done
echo 1 > /proc/sys/kernel/printk # what the kernel says of a failing disk is not for our pipe
mkdir -p /run/m/lib /run/home /run/top
ln -s /usr/lib/uml/modules /run/m/lib/modules
for module in dm-mod quota_v2; do modprobe -d /run/m $module || echo "GUEST-FAILED $module"; done
hostname guest
export TERM=dumb NO_COLOR=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$GUEST_PATH" HOME=/run/home
export PATH LANG=C.UTF-8 TMPDIR=/run/top
cd /run || echo GUEST-FAILED cd
"$GUEST_PYTHON" -m tests.faults.storage.inside "$GUEST_CASE" "$GUEST_FORM" 2>&1 ||
    echo GUEST-FAILED case
echo GUEST-DONE
echo o > /proc/sysrq-trigger
sleep 9
