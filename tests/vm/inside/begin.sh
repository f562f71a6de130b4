#!/bin/sh
# The guest's first process: makes it a machine, runs the job, switches it off.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t debugfs debugfs /sys/kernel/debug
ln -sf /proc/self/fd /dev/fd
echo 127.0.0.1 localhost >/etc/hosts
ip link set lo up
hostname guest

at=$(cat /job/checkout-at)
mkdir -p "$at"
mount --bind /job/checkout "$at"
cd "$at" || exit
mkdir /results
echo "begin: Linux $(uname -r) at $(cut -d ' ' -f 1 /proc/uptime) s"
eval "set -- $(cat /job/command)"
"$@" </dev/null
echo "begin: exit status $?"
tar -C /results -cf /dev/vdc .
sync
busybox poweroff -f
