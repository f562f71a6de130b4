#!/bin/sh
# The first process of each boot: puts the scenario's units there and goes on as systemd.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
cp /job/*.service /job/*.socket /etc/systemd/system
for unit in world.service:sysinit docker.socket:sockets docker.service:multi-user scenario.service:multi-user; do
  wants=/etc/systemd/system/${unit#*:}.target.wants
  mkdir -p "$wants"
  ln -sf "../${unit%:*}" "$wants"
done
# Without udev nothing says that its device is there: each boot would wait for it for 90 s.
ln -sf /dev/null /etc/systemd/system/serial-getty@ttyS0.service
mkdir -p /var/lib/scenario
echo "begin: Linux $(uname -r) at $(cut -d ' ' -f 1 /proc/uptime) s"
exec /sbin/init
