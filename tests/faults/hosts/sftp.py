"""Runs in the server's guest: ``python sftp.py PORT``, SFTP for everybody, without ssh."""

import socket
import subprocess
import sys

SERVER = "/usr/lib/openssh/sftp-server"


def main() -> None:
    """Give each connection a server of its own."""
    listens = socket.create_server(("", int(sys.argv[1])))
    print("listening", flush=True)
    while True:
        connection, _ = listens.accept()
        with connection:
            subprocess.Popen([SERVER], stdin=connection, stdout=connection)


if __name__ == "__main__":
    main()
