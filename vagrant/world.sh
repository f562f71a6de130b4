#!/bin/sh
# Gives the machine a world of its own, in a network namespace: a resolver and two registries, the
# same after each boot. No test needs any other network.
set -eux
cat >/etc/systemd/system/world.service <<'END'
[Unit]
Description=A resolver and two registries in a network namespace
After=network.target
Before=docker.service

[Service]
Type=notify
WorkingDirectory=/vagrant
Environment=ENFORCER_PATIENCE=20
ExecStart=/opt/lab/bin/python -m tests.vagrant.inside.world
TimeoutStartSec=20min
Restart=on-failure

[Install]
WantedBy=multi-user.target
END
systemctl disable --now systemd-resolved 2>/dev/null || true
rm -f /etc/resolv.conf
printf 'nameserver 10.77.0.1\nnameserver fd77::1\n' >/etc/resolv.conf
# The package starts one, of the machine's.
systemctl disable --now docker-registry
systemctl daemon-reload
systemctl enable --now world
