#!/bin/sh
# The init of a host: a user-mode Linux whose root is the host's / by hostfs, read-only.
# It reads lines from its console, "NUMBER COMMAND", runs each in a shell beside the others, and
# writes what they say behind their number. The server exports a directory of the disk /dev/ubda.
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o mode=755 tmp /run
mount -t tmpfs -o mode=755 tmp /mnt
mount -t tmpfs tmp /var/lib/nfs
for word in $(cat /proc/cmdline); do
    case $word in spool.*=*) export "HOST_${word#spool.}" ;; esac
done
echo 1 >/proc/sys/kernel/printk # the console is for what the jobs and spoolq say
mknod -m 666 /run/console c 5 1 # in the host's /dev it may be another's
exec </run/console >/run/console 2>&1
stty -echo -onlcr
mkdir -p /run/m/lib /run/home /mnt/nfs /mnt/case /var/lib/nfs/rpc_pipefs
ln -s /usr/lib/uml/modules /run/m/lib/modules
printf '#!/bin/sh\nexec modprobe -d /run/m "$@"\n' >/run/modprobe
chmod +x /run/modprobe
echo /run/modprobe >/proc/sys/kernel/modprobe
mount -t hostfs -o "ro,$HOST_CASE" none /mnt/case # the case's own files
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run/home TMPDIR=/run LANG=C.UTF-8 NO_COLOR=1
export TERM=dumb PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$HOST_PATH" PYTHON="$HOST_PYTHON"
hostname "$HOST_HOSTNAME"
modprobe -d /run/m nfs ${HOST_IDENTITY:+nfs4_unique_id=$HOST_IDENTITY}
ip link set lo up
ip addr add "$HOST_IP/24" dev eth0
ip link set eth0 up
spoolq() { "$PYTHON" -m spoolq --spool /mnt/nfs/spool "$@"; }

serve() { # what is exported, and who its clients are, is on the disk, for the next boot
    modprobe -d /run/m nfsd
    mount -t nfsd nfsd /proc/fs/nfsd
    mkdir -p /mnt/disk /var/lib/nfs/nfsdcltrack
    mount -t ext4 /dev/ubda /mnt/disk
    mkdir -p /mnt/disk/export /mnt/disk/clients
    mount --bind /mnt/disk/clients /var/lib/nfs/nfsdcltrack
    touch /var/lib/nfs/etab /var/lib/nfs/rmtab
    echo 10 >/proc/fs/nfsd/nfsv4leasetime
    echo 10 >/proc/fs/nfsd/nfsv4gracetime
    exportfs -o rw,sync,no_root_squash,no_subtree_check,fsid=0,insecure '*:/mnt/disk/export'
    versions='-N 3' # whose locks are refused for a minute after a boot, and those of NFSv4 with them
    if [ "$HOST_ROLE" = server3 ]; then
        versions=
        mkdir -p /run/rpcbind
        rpcbind # without it the kernel serves no NFSv3
    fi
    rpc.mountd $versions -p 20048
    rpc.nfsd $versions 4
}
case $HOST_ROLE in server*) serve ;; esac

say() { # NUMBER COMMAND: run it, and let each line of it follow its number
    (
        cd /run || exit
        eval "$2"
    ) </dev/null 2>&1 | sed -u "s/^/SAID $1 /"
}
echo UP
while read -r number command; do
    say "$number" "$command; echo exit \$?" &
done
