"""Every system call of the real program: killed at each, after each, and each refused by strace."""
