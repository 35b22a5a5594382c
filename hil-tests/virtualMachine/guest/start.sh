#!/bin/bash
# Process 1 of the virtual machine after its root is there: runs `script.sh` of the shared folder, leaves its exit code, switches the power off.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mkdir -p /dev/pts /dev/shm /sys/fs/cgroup
ln -sfn /proc/self/fd /dev/fd
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
ip link set lo up
cut -d' ' -f1 /proc/uptime >/shared/booted
bash /shared/script.sh >/shared/out 2>&1
echo $? >/shared/code
sync
echo o >/proc/sysrq-trigger
sleep 60
