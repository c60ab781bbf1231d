#!/bin/busybox sh
# The first process of the virtual machine, see run.sh.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ TMPDIR=/tmp
mkdir -p /proc /sys /dev /tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t cgroup2 cgroup /sys/fs/cgroup
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
ip link set lo up
ulimit -n 65536
. /settings
exec >/dev/ttyS1 2>&1
stty -onlcr </dev/ttyS1 # lines end as they do in files
E2E_KSYUN_TAP=/ksyun-tap E2E_KSYUN_TAP_LITTLE=/ksyun-tap /e2e.test -test.v -test.timeout=3h -test.run "$RUN"
echo "exit status $?"
poweroff -f
