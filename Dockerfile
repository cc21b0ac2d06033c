# macula in a container (docs/install.md#containers):
#
#     docker build --tag macula .
#     docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/experiment" macula run pipelines/quickstart.kdl
#
# With GPUs, on a base image that has NVRTC and cuDNN:
#
#     docker build --build-arg FEATURES=cuda --build-arg BASE=nvidia/cuda:12.9.1-cudnn-runtime-ubuntu24.04 --tag macula-cuda .
#     docker run --rm --gpus all …

ARG BASE=debian:trixie-slim

FROM rust:1.95-slim-bookworm AS build
ARG FEATURES=""
WORKDIR /source
COPY . .
# `ring` and `zstd` compile C.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/* \
    && cargo build --release --locked --features "$FEATURES"

FROM ${BASE}
# Certificates for remotes in buckets and on web servers.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /source/target/release/macula /usr/local/bin/macula
# A home that any user can write: the standard library's sources for editors go there.
ENV HOME=/tmp
WORKDIR /experiment
USER 65534:65534
ENTRYPOINT ["macula"]
