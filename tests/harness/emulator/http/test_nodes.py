"""Gateway nodes on the wire: which node a connection meets."""

import http.client
import json

import pytest

from tests.harness.emulator.support import Running, running


def admitted(emulator: Running, connections: int, calls: int) -> list[int]:
    """How many of `calls` starts each of so many connections gets through."""
    body = json.dumps(
        {
            "InstanceId": emulator.where["instance_id"],
            "ContactFlowId": emulator.where["contact_flow_id"],
            "ParticipantDetails": {"DisplayName": "x"},
        }
    )
    found = []
    for _ in range(connections):
        connection = http.client.HTTPConnection("127.0.0.1", emulator.port, timeout=10)
        statuses = []
        for _ in range(calls):
            connection.request("PUT", "/contact/chat", body)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        found.append(statuses.count(200))
        connection.close()
    return found


@pytest.mark.parametrize("way", ["", ",latency=1ms"])
def test_each_connection_meets_its_own_node(way: str) -> None:
    """By default the nodes take turns with the connections, whichever way through the emulator a call takes."""
    with running(f"sigv4=no,rate=0,burst=3,nodes=2,sync=1d{way}") as emulator:
        assert admitted(emulator, 3, 4) == [3, 3, 0]
