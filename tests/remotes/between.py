"""A proxy between macula and an object store: it forwards and records requests, and injects failures on demand. Knows no
service."""

import collections
import http.client
import threading
import time
import urllib.parse

from local import Local, Quiet

Request = collections.namedtuple("Request", "method name query status headers")


class Between:
    """Forwards requests to the server at `address`."""

    def __init__(self, address: str):
        self.host = urllib.parse.urlsplit(address).netloc
        self.requests: list[Request] = []
        self.lock = threading.Lock()
        self.refusals: list[int] = []
        self.talks = threading.Event()
        self.talks.set()
        self.waiting = 0
        between = self

        class Handler(Quiet):
            connection_there = None

            def hand_on(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                status, headers, answer = between.refusal() or self.asked(body)
                # The answer waits, not the request: what all are to find missing must be looked up before one of them writes it.
                between.wait()
                split = urllib.parse.urlsplit(self.path)
                request = Request(self.command, urllib.parse.unquote(split.path), split.query, status, dict(self.headers))
                with between.lock:
                    between.requests.append(request)
                self.send_response_only(status)
                for name, value in headers:
                    self.send_header(name, value)
                if self.command != "HEAD":
                    self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def asked(self, body):
                # One outgoing connection per incoming one.
                self.connection_there = self.connection_there or http.client.HTTPConnection(between.host, timeout=60)
                self.connection_there.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for name, value in self.headers.items():
                    self.connection_there.putheader(name, value)
                self.connection_there.endheaders(body)
                answer = self.connection_there.getresponse()
                dropped = {"connection", "transfer-encoding"} | ({"content-length"} if self.command != "HEAD" else set())
                headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in dropped]
                return answer.status, headers, answer.read()

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = hand_on

        self.server = Local(Handler)
        self.address = self.server.address

    def wait(self):
        with self.lock:
            self.waiting += 1
        self.talks.wait()
        with self.lock:
            self.waiting -= 1

    def until_waiting(self, count: int):
        """Waits until this many answers are pending."""
        end = time.monotonic() + 120
        while self.waiting < count:
            assert time.monotonic() < end, f"{self.waiting} ask, not {count}"
            time.sleep(0.01)

    def refusal(self):
        with self.lock:
            if not self.refusals:
                return None
            return self.refusals.pop(0), [("content-type", "text/plain")], b"not now"

    def refuse(self, *statuses: int):
        """Answers the next requests itself, one with each of these responses."""
        with self.lock:
            self.refusals.extend(statuses)

    def answers(self, method: str, ending: str):
        """Responses to requests for names with this suffix, in order."""
        with self.lock:
            return [one.status for one in self.requests if one.method == method and one.name.endswith(ending) and not one.query]

    def close(self):
        self.talks.set()
        self.server.close()
