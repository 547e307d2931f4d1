#!/bin/sh
# image.sh SUITE DIR builds a Debian machine for QEMU into DIR: disk, kernel, initrd, and key, which
# opens ssh to root. Needs root, mmdebstrap, mkfs.ext4, and ssh-keygen. Packages come from the mirror
# that this machine uses.
set -eu
suite=$1 dir=$2 root=$2.root
mkdir -p "$dir"
trap 'rm -rf --one-file-system "$root"' EXIT # mmdebstrap may leave /proc and /sys mounted in it
rm -rf --one-file-system "$root" "$dir"/*
ssh-keygen -q -t ed25519 -N '' -C sandmeter -f "$dir/key"

packages=systemd,systemd-sysv,udev,dbus,libpam-systemd,linux-image-cloud-amd64,initramfs-tools,kmod,e2fsprogs
packages=$packages,docker.io,containerd,runc,apparmor,iproute2,iptables,procps,curl,ca-certificates
packages=$packages,openssh-server,logrotate,strace,jq
case $suite in bookworm | bullseye) ;; *) packages=$packages,docker-cli ;; esac

# The kernel's package makes an initrd. An emulated processor takes long to unpack one with all drivers.
initrd='mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"
	echo MODULES=list >"$1/etc/initramfs-tools/conf.d/vm"
	printf "virtio_pci\nvirtio_blk\next4\n" >"$1/usr/share/initramfs-tools/modules.d/vm"'
mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v security | head -n 1)
mmdebstrap --quiet --mode=root --variant=minbase --components=main --include="$packages" \
	--aptopt='APT::Install-Recommends "false"' --aptopt='APT::Sandbox::User "root"' --essential-hook="$initrd" \
	"$suite" "$root" "$mirror"

# What a machine needs that nobody looks at: a name, a disk, an address, and a key.
cd "$root"
echo vm >etc/hostname
echo '127.0.0.1 localhost vm' >etc/hosts
# The second disk has the programs under test. Docker reads its settings there, however late it appears.
cat >etc/fstab <<-END
	/dev/vda / ext4 defaults 0 0
	/dev/vdb /sandmeter ext4 ro,nofail,x-systemd.device-timeout=0,x-systemd.before=docker.service 0 0
END
mkdir -p sandmeter etc/docker
ln -s /sandmeter/daemon.json etc/docker/daemon.json
mkdir -p -m 700 root/.ssh
cp "$dir/key.pub" root/.ssh/authorized_keys
# ssh is there before Docker, and waits for no name server.
printf 'UseDNS no\nUsePAM no\nPermitRootLogin yes\nMaxSessions 100\n' >etc/ssh/sshd_config.d/vm.conf
mkdir -p etc/systemd/network
cat >etc/systemd/network/10-vm.network <<-END
	[Match]
	Name=eth0
	[Network]
	Address=10.0.2.15/24
	Gateway=10.0.2.2
	LinkLocalAddressing=no
	IPv6AcceptRA=no
END
mkdir -p etc/systemd/system.conf.d etc/systemd/journald.conf.d
printf '[Manager]\nDefaultTimeoutStartSec=600\nDefaultTimeoutStopSec=300\n' >etc/systemd/system.conf.d/vm.conf
printf '[Journal]\nStorage=persistent\nRateLimitBurst=0\n' >etc/systemd/journald.conf.d/vm.conf
systemctl --root=. --quiet enable systemd-networkd 2>/dev/null || ln -s /lib/systemd/system/systemd-networkd.service etc/systemd/system/multi-user.target.wants/
# These only delay a start without hardware acceleration.
for unit in e2scrub_reap.service e2scrub_all.timer apt-daily.timer apt-daily-upgrade.timer fstrim.timer \
	dpkg-db-backup.timer systemd-networkd-wait-online.service systemd-timesyncd.service getty@tty1.service; do
	ln -sf /dev/null etc/systemd/system/$unit
done

cp boot/vmlinuz-* "$dir/kernel"
cp boot/initrd.img-* "$dir/initrd"

truncate -s 8G "$dir/disk"
mkfs.ext4 -q -F -d . "$dir/disk"
