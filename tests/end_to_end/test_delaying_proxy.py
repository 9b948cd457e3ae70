"""A real proxy that makes calls wait: nginx's `limit_req` without `nodelay` in front of StartChatContact."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.locust_runs import LOCUST, PATIENCE, ROOT, chatquota, free_port

pytestmark = pytest.mark.slow

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
CONFIG = """
daemon off; master_process off; worker_processes 1; pid {directory}/nginx.pid; error_log {directory}/error.log crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; default_type application/json; keepalive_requests 1000000;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  limit_req_zone $server_port zone=starts:1m rate=20r/s;
  limit_req_status 429;
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location = /contact/chat {{
      limit_req zone=starts burst=10;
      error_page 429 = @throttled;
      proxy_pass http://127.0.0.1:{behind}/started;
      proxy_method GET; proxy_pass_request_body off;
    }}
    location @throttled {{
      add_header x-amzn-errortype TooManyRequestsException always;
      return 429 '{{"message":"Too Many Requests"}}';
    }}
    location = /contact/stop {{ return 200 '{{}}'; }}
  }}
  server {{
    listen 127.0.0.1:{behind} backlog=1024;
    location / {{ return 200 '{{"ContactId":"$request_id","ParticipantId":"p-$request_id","ParticipantToken":"token"}}'; }}
  }}
}}
"""


def _answers(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def delaying_nginx(directory: Path) -> Iterator[str]:
    """Run nginx with 20 starts a second of which 10 may wait; yields its address."""
    assert NGINX is not None
    port, behind = free_port(), free_port()
    config = directory / "nginx.conf"
    config.write_text(CONFIG.format(directory=directory, port=port, behind=behind))
    process = subprocess.Popen([NGINX, "-p", str(directory), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        give_up = time.monotonic() + PATIENCE
        while not _answers(port):
            assert process.poll() is None, (directory / "error.log").read_text()
            assert time.monotonic() < give_up, f"nginx does not listen after {PATIENCE:g} s"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx-light")
def test_a_proxy_that_makes_calls_wait_admits_one_more_than_may_wait(tmp_path: Path) -> None:
    """From a plain run against rate=20r/s burst=10 the report infers 20 a second and a burst of 11, as that proxy admits."""
    with delaying_nginx(tmp_path) as host:
        command = [*LOCUST, "--headless", "StartChat", "--host", host, "-u", "40", "-r", "40", "-t", "25s"]
        command += ["--only-summary", "--run-dir", "run", "--stop-rate", "400"]
        command += ["--region", "us-east-1", "--instance-id", "11111111-1111-4111-8111-111111111111"]
        command += ["--contact-flow-id", "22222222-2222-4222-8222-222222222222"]
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "AWS_EC2_METADATA_DISABLED": "true"}
        environment |= {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}
        loaded = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        report = chatquota("report", "run")
        done = subprocess.run(
            report, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
    if loaded.returncode == 5:
        pytest.skip(f"this machine is too busy to measure on: {loaded.stdout}{loaded.stderr}"[-500:])
    assert loaded.returncode == 0, loaded.stdout + loaded.stderr
    assert done.returncode == 0, done.stdout + done.stderr
    tps = json.loads((tmp_path / "run" / "capacity.json").read_text())["tps"]
    # A machine that stands still for a moment contradicts any bucket now and then, and then nothing is claimed.
    assert tps["evidence"]["contradictions"] <= 0.01 * tps["evidence"]["decisions"], tps
    assert 18 <= tps["sustained"]["estimate"] <= 22, tps
    if tps["verdict"] == "explained":
        assert tps["burst"]["low"] <= 11 <= (tps["burst"]["high"] or 11), tps
        assert tps["rate"]["low"] <= 20.0 <= tps["rate"]["high"], tps
