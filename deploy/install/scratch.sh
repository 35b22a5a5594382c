#!/bin/bash
# In namespaces of its own: makes the scratch root and runs the second script in it. scratch.sh DEB INSIDE
set -euo pipefail
deb=$(realpath "$1")
inside=$(realpath "$2")
mount -t tmpfs -o size=1500m scratch /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay scratch -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
cp "$deb" /mnt/root/ipcnet.deb
cp "$inside" /mnt/root/inside.sh
mount -t proc proc /mnt/root/proc
mount --rbind /dev /mnt/root/dev
mount -t sysfs -o ro sysfs /mnt/root/sys
mount -t tmpfs run /mnt/root/run
mount -t tmpfs tmp /mnt/root/tmp
exec chroot /mnt/root env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root bash /inside.sh
