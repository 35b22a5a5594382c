#!/bin/busybox sh
# The first program of the virtual machine: the host's root, read-only, under a layer in memory or on a disk of its own (vm.layer=disk), becomes its root; then the script that the kernel was told (vm.start) takes over.
B=/bin/busybox
word() { for w in $($B cat /proc/cmdline); do case $w in "$1"=*) echo "${w#*=}";; esac; done; }
$B mount -t proc proc /proc; $B mount -t sysfs sysfs /sys; $B mount -t devtmpfs devtmpfs /dev
load() { for module in $($B cat "/modules/$1"); do $B insmod "/modules/$module" 2>/dev/null; done; }
load order
share() { $B mount -t 9p -o "$1,trans=virtio,version=9p2000.L,msize=524288,cache=$2" "$3" "$4"; }
$B mkdir -p /lower /layer /root
share ro loose root /lower || { echo "VM: no root"; $B poweroff -f; }
# On a disk it is there again after the next start.
if [ "$(word vm.layer)" = disk ]; then load order.disk; $B mount -t ext4 -o noatime /dev/vdb /layer || { echo "VM: no disk for the layer"; $B poweroff -f; }
else $B mount -t tmpfs -o size=70% layer /layer; fi
$B mkdir -p /layer/upper /layer/work
$B mount -t overlay -o lowerdir=/lower,upperdir=/layer/upper,workdir=/layer/work overlay /root || { echo "VM: no overlay"; $B poweroff -f; }
cd /root || exit
$B mkdir -p proc sys dev run tmp host shared "lib/modules/$($B uname -r)"
share rw none shared /root/shared || echo "VM: no shared folder"
$B mount --bind "/lower$(word vm.modules)" "lib/modules/$($B uname -r)"
# The machine's own /tmp hides the host's: what lies there is found under /host. A machine with another processor has other files than the host.
if [ "$(word vm.host)" = share ]; then share ro loose host host || echo "VM: no host"; else $B mount --bind /lower host; fi
# What was compiled for its processor lies where what was compiled for the host's does.
[ -z "$(word vm.native)" ] || $B mount --bind "host$(word vm.native)" "host$(word vm.replaces)"
$B mount -t tmpfs -o mode=1777 tmp tmp; $B mount -t tmpfs -o mode=755 run run
start=$(word vm.start)
for m in proc sys dev; do $B mount --move "/$m" "$m"; done
exec $B switch_root /root /bin/bash "$start"
