# SPDX-License-Identifier: BSD-2-Clause
"""What surrounds a guest: stock kernels, initramfs and root images of Debian packages, and a machine to run on."""
