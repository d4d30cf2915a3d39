"""Power cuts of a real kernel: what spoolq keeps on ext4, xfs and btrfs, and what it may lose."""
