#!/bin/bash
# Process 1 of the virtual machine that boots with systemd: prepares the layer in memory, then becomes it.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
units=/etc/systemd/system
mkdir -p $units /etc/systemd/system.conf.d /etc/systemd/journald.conf.d $units/multi-user.target.wants
# What the host may have installed and no machine of a robot has: each would cost seconds of every boot, or wait for a network.
for unit in postgresql docker containerd redis-server mosquitto ssh apache2 nginx e2scrub_reap systemd-timesyncd systemd-networkd systemd-networkd-wait-online systemd-resolved \
  systemd-firstboot systemd-machine-id-commit systemd-repart systemd-random-seed systemd-update-utmp systemd-update-utmp-runlevel ldconfig systemd-hwdb-update systemd-pstore; do
  ln -sf /dev/null $units/$unit.service
done
# Started by the behaviours that need it (package.ts): it would load a driver for each device of the machine.
for unit in systemd-udevd systemd-udev-trigger systemd-udev-settle; do ln -sf /dev/null $units/$unit.service; done
for unit in systemd-udevd-control systemd-udevd-kernel; do ln -sf /dev/null $units/$unit.socket; done
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer man-db.timer getty.target remote-fs.target; do ln -sf /dev/null $units/$unit; done
printf '[Manager]\nDefaultTimeoutStopSec=30s\nShowStatus=no\n' >/etc/systemd/system.conf.d/rig.conf
printf '[Journal]\nStorage=volatile\nRateLimitBurst=0\n' >/etc/systemd/journald.conf.d/rig.conf
cat >$units/ipcnet-rig-agent.service <<'UNIT'
[Unit]
Description=The rig's agent
After=basic.target
DefaultDependencies=yes
[Service]
Environment=HOME=/root LANG=C.UTF-8 SYSTEMD_PAGER= SYSTEMD_COLORS=0 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ExecStartPre=/sbin/modprobe virtio_console
ExecStart=/usr/bin/python3 /shared/agent.py ipcnet.agent
KillMode=mixed
UNIT
ln -sf ../ipcnet-rig-agent.service $units/multi-user.target.wants/
[ -d /shared/units ] && cp -a /shared/units/. $units/
# The watchdog's driver has to be there before systemd looks for it; the button's before logind does.
modprobe i6300esb
modprobe button
# Where the host is a container these tell systemd that the machine is one too.
rm -f /.dockerenv /run/.containerenv
rm -f /etc/machine-id && echo 0123456789abcdef0123456789abcdef >/etc/machine-id
mkdir -p /etc/systemd/logind.conf.d
exec /lib/systemd/systemd systemd.unit=multi-user.target
