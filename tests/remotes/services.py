"""The object stores that are asked, as the tests see them: start, stop, credentials, and what lies in a bucket. Knows nothing of
macula.

S3 is moto, in this process, or the server that MACULA_S3 names (its address; the credentials are KEY and SECRET). Azure is Azurite, a
process of node's. Google is the server of google.py."""

import base64
import datetime
import os
import pathlib
import shutil
import subprocess

import boto3
from azure.storage.blob import AccountSasPermissions, BlobServiceClient, ResourceTypes, generate_account_sas
from google import Account
from google import Google as Server
from moto.server import ThreadedMotoServer

KEY = "key"
SECRET = "a-secret-that-nobody-may-read"


class S3:
    scheme = "s3"
    # Prefix of all variables that macula reads for it.
    variables = "AWS_"
    secrets = (SECRET,)
    no_bucket = "NoSuchBucket"

    def __init__(self, _folder: pathlib.Path):
        self.moto = None
        self.address = os.environ.get("MACULA_S3")
        if self.address is None:
            self.moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
            self.moto.start()
            self.address = "http://{}:{}".format(*self.moto.get_host_and_port())
        keys = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
        self.client = boto3.client("s3", endpoint_url=self.address, **keys)

    def credentials(self, address: str, secret: str = SECRET):
        keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": "us-east-1"}
        return keys | {"AWS_ENDPOINT_URL": address}

    def wrong_credentials(self, address: str):
        """Credentials of another account; None if the server does not check them."""
        return None if self.moto else self.credentials(address, "another-secret")

    def every_way(self, address: str):
        """Every way of passing credentials in docs/remotes.md that this server supports."""
        return [self.credentials(address)]

    def make(self, bucket: str):
        self.client.create_bucket(Bucket=bucket)

    def names(self, bucket: str):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def read(self, bucket: str, name: str) -> bytes:
        return self.client.get_object(Bucket=bucket, Key=name)["Body"].read()

    def write(self, bucket: str, name: str, content: bytes):
        self.client.put_object(Bucket=bucket, Key=name, Body=content)

    def delete(self, bucket: str, name: str):
        self.client.delete_object(Bucket=bucket, Key=name)

    def keep_versions(self, bucket: str):
        self.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})

    def close(self):
        if self.moto:
            self.moto.stop()


class Azure:
    scheme = "az"
    variables = "AZURE_"
    account = "macula"
    key = base64.b64encode(SECRET.encode()).decode()
    no_bucket = "ContainerNotFound"
    # Supported by Azurite; the client would ask for a newer version.
    version = "2025-11-05"

    def __init__(self, folder: pathlib.Path):
        program = shutil.which("azurite-blob")
        assert program, "`azurite-blob` is missing: `npm ci` in a copy of tests/remotes/azurite, and its node_modules/.bin in PATH"
        call = [program, "--inMemoryPersistence", "--disableTelemetry", "--blobHost", "127.0.0.1", "--blobPort", "0"]
        environment = os.environ | {"AZURITE_ACCOUNTS": f"{self.account}:{self.key}"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self.process = subprocess.Popen(call, cwd=folder, env=environment, **pipes)
        lines = (line.partition("successfully listens on ") for line in self.process.stdout)
        self.address = next((address.strip() for _, _, address in lines if address), None)
        assert self.address, "Azurite does not start"
        # Later output would fill the pipe.
        self.log = subprocess.Popen(["cat"], stdin=self.process.stdout, stdout=subprocess.DEVNULL)
        self.secrets = (self.key, SECRET, self.signature().partition("sig=")[2])
        credential = {"account_name": self.account, "account_key": self.key}
        own = f"{self.address}/{self.account}"
        self.client = BlobServiceClient(own, credential=credential, api_version=self.version)

    def signature(self) -> str:
        may = AccountSasPermissions(read=True, write=True, create=True, list=True)
        until = datetime.datetime(2100, 1, 1, tzinfo=datetime.timezone.utc)
        kinds = ResourceTypes(container=True, object=True)
        return generate_account_sas(self.account, self.key, kinds, may, until, protocol="https,http")

    def credentials(self, address: str, key: str = key):
        endpoint = f"{address}/{self.account}"
        names = {"AZURE_STORAGE_ACCOUNT_NAME": self.account, "AZURE_STORAGE_ACCOUNT_KEY": key}
        return names | {"AZURE_STORAGE_ENDPOINT": endpoint}

    def wrong_credentials(self, address: str):
        return self.credentials(address, base64.b64encode(b"another-secret").decode())

    def every_way(self, address: str):
        by_key = self.credentials(address)
        signed = {name: value for name, value in by_key.items() if not name.endswith("KEY")}
        emulator = {"AZURE_STORAGE_USE_EMULATOR": "true", "AZURITE_BLOB_STORAGE_URL": address}
        without_endpoint = {name: value for name, value in by_key.items() if not name.endswith("ENDPOINT")}
        return [by_key, signed | {"AZURE_STORAGE_SAS_KEY": self.signature()}, without_endpoint | emulator]

    def make(self, bucket: str):
        self.client.create_container(bucket)

    def names(self, bucket: str):
        return [blob.name for blob in self.client.get_container_client(bucket).list_blobs()]

    def read(self, bucket: str, name: str) -> bytes:
        return self.client.get_blob_client(bucket, name).download_blob().readall()

    def write(self, bucket: str, name: str, content: bytes):
        self.client.get_blob_client(bucket, name).upload_blob(content, overwrite=True)

    def delete(self, bucket: str, name: str):
        self.client.get_blob_client(bucket, name).delete_blob()

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=20)
        self.log.wait(timeout=20)


class Google:
    scheme = "gs"
    variables = "GOOGLE_"
    no_bucket = "NoSuchBucket"

    def __init__(self, folder: pathlib.Path):
        self.server = Server()
        self.address = self.server.address
        self.folder = folder
        self.secrets = tuple(line for line in self.server.account.pem.splitlines() if "-----" not in line)

    def file(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def credentials(self, address: str):
        return {"GOOGLE_APPLICATION_CREDENTIALS": self.file("key.json", self.server.account.file()), "GOOGLE_BASE_URL": address}

    def wrong_credentials(self, address: str):
        other = Account().file()
        return {"GOOGLE_APPLICATION_CREDENTIALS": self.file("other.json", other), "GOOGLE_BASE_URL": address}

    def every_way(self, address: str):
        with_address = self.server.account.file(gcs_base_url=address)
        by_file = {"GOOGLE_SERVICE_ACCOUNT": self.file("with-address.json", with_address)}
        return [self.credentials(address), by_file, {"GOOGLE_SERVICE_ACCOUNT_KEY": with_address}]

    def make(self, bucket: str):
        self.server.buckets[bucket] = {}

    def names(self, bucket: str):
        return sorted(self.server.buckets[bucket])

    def read(self, bucket: str, name: str) -> bytes:
        return self.server.buckets[bucket][name].content

    def write(self, bucket: str, name: str, content: bytes):
        with self.server.lock:
            self.server.store(bucket, name, content)

    def delete(self, bucket: str, name: str):
        del self.server.buckets[bucket][name]

    def close(self):
        self.server.close()


ALL = {"s3": S3, "azure": Azure, "google": Google}
