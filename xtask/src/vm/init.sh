#!/bin/busybox sh
# The first process of a guest: mounts what a host has, runs the tests, tells how they ended, powers off.

/bin/busybox --install -s /bin
export PATH=/bin HOME=/root RUST_BACKTRACE=1
export PROBE_DAEMON=/test/probe-daemon

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
# All of this is in memory anyway; a mount over /tmp would hide a checkout that lies there.
chmod 1777 /tmp
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug
# The disk that a test may freeze.
export PROBE_TEST_DISK=/dev/nvme0n1
ip link set lo up
hostname guest
cd /tmp

echo "guest: Linux $(uname -r)"
/test/all "$(cat /test/filter)" --test-threads=1 2>&1
echo "guest: tests ended with $?"
poweroff -f
