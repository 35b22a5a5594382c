#!/bin/bash
# Process 1 of a plain virtual machine after its root is there: what a system's first minute sets up, then the agent; when that ends, the power goes off.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mkdir -p /dev/pts /dev/shm /sys/fs/cgroup
ln -sfn /proc/self/fd /dev/fd
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
ip link set lo up
# Debian's default is 208 KiB, some 250 frames.
sysctl -q -w net.core.rmem_max=8388608
modprobe virtio_console
/usr/bin/python3 /shared/agent.py ipcnet.agent >/dev/console 2>&1
sync
echo o >/proc/sysrq-trigger
sleep 60
