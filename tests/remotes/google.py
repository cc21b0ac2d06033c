"""Google Cloud Storage as far as macula asks it: objects through the XML API, in memory. Written from Google's public description of that
interface, since no server that could be had honours `x-goog-if-generation-match` there. It is no proof of what Google's own does.

Credentials are checked: a request bears a token that the service account signed with its key (RS256), for the scope and the present."""

import base64
import datetime
import hashlib
import json
import re
import secrets
import threading
import time
import urllib.parse
from email.utils import format_datetime
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from local import Local, Quiet

# Minimum size of all parts except the last.
SMALLEST_PART = 5 << 20


class Refused(Exception):
    """An error response."""

    def __init__(self, status: int, code: str):
        super().__init__(code)
        self.status, self.code = status, code


class Object:
    def __init__(self, generation: int, content: bytes):
        self.generation, self.content = generation, content
        self.etag = '"' + hashlib.md5(content).hexdigest() + '"'
        self.written = datetime.datetime.now(datetime.timezone.utc)

    def headers(self):
        return {
            "etag": self.etag,
            "last-modified": format_datetime(self.written, usegmt=True),
            "x-goog-generation": str(self.generation),
            "content-type": "application/octet-stream",
            "accept-ranges": "bytes",
        }


class Account:
    """A service account, and the contents of its file."""

    email = "macula@tests.example"

    def __init__(self):
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.pem = self.key.private_bytes(*form).decode()

    def file(self, **more: str) -> str:
        own = {"type": "service_account", "client_email": self.email, "private_key_id": "1", "private_key": self.pem}
        return json.dumps(own | more)

    def check(self, authorization: str):
        """Fails unless this is a valid token signed by the account."""
        try:
            head, claims, signature = authorization.removeprefix("Bearer ").split(".")
            signed = f"{head}.{claims}".encode()
            self.key.public_key().verify(unpadded(signature), signed, padding.PKCS1v15(), hashes.SHA256())
            claims = json.loads(unpadded(claims))
            said = json.loads(unpadded(head))
        except (ValueError, InvalidSignature) as error:
            raise Refused(401, "AuthenticationRequired") from error
        now = time.time()
        holds = claims["iat"] - 60 <= now < claims["exp"] <= claims["iat"] + 3600
        scopes = claims["scope"].split()
        may = "https://www.googleapis.com/auth/devstorage.full_control" in scopes or any("cloud-platform" in one for one in scopes)
        if not (said["alg"] == "RS256" and said["kid"] == "1" and claims["iss"] == claims["sub"] == self.email and holds and may):
            raise Refused(401, "AuthenticationRequired")


def unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Google:
    """A server for buckets."""

    def __init__(self):
        self.account = Account()
        self.buckets: dict[str, dict[str, Object]] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.generations = 0
        self.lock = threading.Lock()
        google = self

        class Handler(Quiet):
            def answer(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                try:
                    google.account.check(self.headers.get("authorization", ""))
                    split = urllib.parse.urlsplit(self.path)
                    bucket, _, name = split.path.removeprefix("/").partition("/")
                    query = dict(urllib.parse.parse_qsl(split.query, keep_blank_values=True))
                    asked = (urllib.parse.unquote(bucket), urllib.parse.unquote(name), query, self.headers, body)
                    with google.lock:
                        status, headers, content = getattr(google, "_" + self.command.lower())(*asked)
                except Refused as refused:
                    status, headers = refused.status, {"content-type": "application/xml"}
                    content = f"<?xml version='1.0'?><Error><Code>{refused.code}</Code></Error>".encode()
                self.send_response_only(status)
                for key, value in (headers | {"content-length": str(len(content))}).items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

        self.server = Local(Handler)
        self.address = self.server.address

    def close(self):
        self.server.close()

    def _bucket(self, bucket: str):
        if bucket not in self.buckets:
            raise Refused(404, "NoSuchBucket")
        return self.buckets[bucket]

    def store(self, bucket: str, name: str, content: bytes) -> Object:
        self.generations += 1
        made = self._bucket(bucket)[name] = Object(self.generations, content)
        return made

    def _head(self, bucket, name, _query, headers, _body):
        found = self._bucket(bucket).get(name)
        if found is None:
            raise Refused(404, "NoSuchKey")
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("range", ""))
        if wanted is None:
            return 200, found.headers(), found.content
        size = len(found.content)
        start, end = int(wanted[1]), min(int(wanted[2] or size - 1), size - 1)
        if start > end:
            raise Refused(416, "InvalidRange")
        part = {"content-range": f"bytes {start}-{end}/{size}"}
        return 206, found.headers() | part, found.content[start : end + 1]

    _get = _head

    def _put(self, bucket, name, query, headers, body):
        objects = self._bucket(bucket)
        if "uploadId" in query:
            number = int(query["partNumber"])
            if not 1 <= number <= 10_000:
                raise Refused(400, "InvalidArgument")
            self._upload(query)[number] = body
            return 200, {"etag": Object(0, body).etag}, b""
        expected = headers.get("x-goog-if-generation-match")
        there = objects[name].generation if name in objects else 0
        if expected is not None and int(expected) != there:
            raise Refused(412, "PreconditionFailed")
        made = self.store(bucket, name, body)
        return 200, {"etag": made.etag, "x-goog-generation": str(made.generation)}, b""

    def _upload(self, query):
        if query["uploadId"] not in self.uploads:
            raise Refused(404, "NoSuchUpload")
        return self.uploads[query["uploadId"]]

    def _post(self, bucket, name, query, headers, body):
        self._bucket(bucket)
        if headers.get("x-goog-if-generation-match") is not None:
            # Multipart uploads do not support conditions.
            raise Refused(400, "NotImplemented")
        if "uploads" in query:
            own = secrets.token_hex(8)
            self.uploads[own] = {}
            said = f"<Bucket>{bucket}</Bucket><Key>{escape(name)}</Key><UploadId>{own}</UploadId>"
            return 200, {}, f"<InitiateMultipartUploadResult>{said}</InitiateMultipartUploadResult>".encode()
        parts = self._upload(query)
        listed = [(int(part.findtext("PartNumber")), part.findtext("ETag")) for part in ElementTree.fromstring(body).iter("Part")]
        if [number for number, _ in listed] != sorted({number for number, _ in listed}):
            raise Refused(400, "InvalidPartOrder")
        if any(number not in parts or Object(0, parts[number]).etag.strip('"') != etag.strip('"') for number, etag in listed):
            raise Refused(400, "InvalidPart")
        if any(len(parts[number]) < SMALLEST_PART for number, _ in listed[:-1]):
            raise Refused(400, "EntityTooSmall")
        made = self.store(bucket, name, b"".join(parts[number] for number, _ in listed))
        del self.uploads[query["uploadId"]]
        said = f"<Bucket>{bucket}</Bucket><Key>{escape(name)}</Key><ETag>{escape(made.etag)}</ETag>"
        answer = f"<CompleteMultipartUploadResult>{said}</CompleteMultipartUploadResult>"
        return 200, {"x-goog-generation": str(made.generation)}, answer.encode()

    def _delete(self, bucket, name, query, _headers, _body):
        objects = self._bucket(bucket)
        if "uploadId" in query:
            self._upload(query)
            del self.uploads[query["uploadId"]]
        elif objects.pop(name, None) is None:
            raise Refused(404, "NoSuchKey")
        return 204, {}, b""
