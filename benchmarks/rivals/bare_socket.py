"""The physical limit: one constant, unsigned request on prebuilt sockets, an epoll loop, nothing read of the answer."""

import json
import random
import select
import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks.rivals.parameters import draw


def main() -> None:
    """Call the URL given on the command line on 50 connections until killed."""
    url = urlsplit(sys.argv[1])
    body = json.dumps(draw(random.Random(1))).encode()
    request = b"PUT /contact/chat HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    poll = select.epoll()
    connections = {}
    for _ in range(50):
        connection = socket.create_connection((url.hostname, url.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connections[connection.fileno()] = connection
        poll.register(connection, select.EPOLLIN)
        connection.sendall(request)
    while True:
        for number, _ in poll.poll():
            connections[number].recv(65536)
            connections[number].send(request)


if __name__ == "__main__":
    main()
