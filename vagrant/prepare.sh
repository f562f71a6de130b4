#!/bin/sh
# Makes a public box what the README begins with: package lists, no questions, and, if named, the
# kernel of an older release.
#   prepare.sh [RELEASE PACKAGE]
set -eux
echo 'APT::Get::Assume-Yes "true";' >/etc/apt/apt.conf.d/90assume-yes
export DEBIAN_FRONTEND=noninteractive
if [ $# -eq 2 ]; then
  # shellcheck disable=SC2016 # apt-get expands it
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Component: main' | head -n 1)
  # shellcheck disable=SC1091 # a file of the machine's
  keyring=/usr/share/keyrings/$(. /etc/os-release && echo "$ID")-archive-keyring.gpg
  echo "deb [signed-by=$keyring] $mirror $1 main" >/etc/apt/sources.list.d/kernel.list
  # Nothing but the kernel is to come from there.
  printf 'Package: *\nPin: release n=%s\nPin-Priority: 1\n' "$1" >/etc/apt/preferences.d/kernel
fi
apt-get update
apt-get install docker.io docker-registry skopeo rsync sudo
python3 -c 'import ensurepip' || apt-get install python3-venv
python3 -m venv /opt/lab
/opt/lab/bin/pip install dnspython trustme
if [ $# -eq 2 ]; then
  apt-get install -t "$1" "$2"
  # The boot loader takes the newest that there is in /boot.
  kept=$(dpkg-query -W -f '${Depends}' "$2" | grep -o 'linux-image-[0-9][^ ,]*' | head -n 1)
  find /boot -name 'vmlinuz-*' ! -name "vmlinuz-${kept#linux-image-}" -delete
  update-grub
fi
