#!/bin/sh
# The initramfs' init: loads what reads disks, lays the disks together and begins the job.
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
while read -r module; do
  insmod "/modules/$module" || echo "boot: no $module"
done </modules/order
mount -t ext4 /dev/vda /new || exec sh
if [ -b /dev/vdd ]; then
  mkdir -p "/new/lib/modules/$(uname -r)"
  mount -t ext4 -o ro /dev/vdd "/new/lib/modules/$(uname -r)"
fi
if [ -b /dev/vdb ]; then
  mkdir -p /new/job
  mount -t ext4 /dev/vdb /new/job || exec sh
  set -- /bin/sh /job/begin
else
  set -- /sbin/init
fi
umount /proc /sys
mount -o move /dev /new/dev
exec switch_root /new "$@"
