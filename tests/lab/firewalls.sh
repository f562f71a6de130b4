#!/bin/sh
# Runs other firewalls, one step after the other: says which step is done, and waits for a line
# before the next. Arguments: the folder with what ./dev setup unpacked, one for files.
set -eu
unpacked=$1 files=$2

next() {
  echo "$1"
  read -r _
}

mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$unpacked/usr:/usr" /usr
mount -t tmpfs tmpfs "$files"
mkdir "$files/upper" "$files/work"
mount -t overlay overlay \
  -o "lowerdir=$unpacked/etc:/etc,upperdir=$files/upper,workdir=$files/work" /etc
mount -t tmpfs tmpfs /run
mkdir /run/dbus /run/lock

cat >/run/bus.conf <<'END'
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/> <allow own="*"/>
    <allow send_destination="*"/> <allow receive_sender="*"/>
  </policy>
</busconfig>
END
dbus-daemon --config-file=/run/bus.conf --nofork --nopidfile >&2 &
bus=$!
firewalld --nofork --nopid >&2 &
firewalld=$!
trap 'kill $bus $firewalld' EXIT
until firewall-cmd --state >&2; do
  kill -0 $firewalld
  sleep 0.2
done
next 'firewalld started'
firewall-cmd --reload >&2
next 'firewalld reloaded'
firewall-cmd --complete-reload >&2
next 'firewalld reloaded completely'
kill $firewalld
wait $firewalld || true
trap 'kill $bus' EXIT
next 'firewalld stopped'

cp /usr/share/ufw/*.rules /usr/share/ufw/ufw.conf /etc/ufw
ufw --force enable >&2
next 'ufw enabled'
ufw reload >&2
next 'ufw reloaded'
ufw --force reset >&2
next 'ufw reset'

iptables-nft -A INPUT -p tcp --dport 22 -j ACCEPT
iptables-nft-save >/run/rules
iptables-nft-restore </run/rules
next 'iptables-nft restored'
iptables-nft -F
iptables-nft -X
next 'iptables-nft flushed'
