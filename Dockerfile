# kit with every format, native runners for both kinds of processor, and what builds the app.
#   docker build -t kit .
#   docker run --rm -v "$PWD":/work kit build mobilenet_v2 -o out/v2
# Phones: run `adb -a nodaemon server` outside and pass ADB_SERVER_SOCKET, or connect by
# `--device HOST:PORT`.
FROM python:3.11-slim-bookworm

RUN apt-get update -qq \
    && apt-get install -qq -y --no-install-recommends \
        adb g++ g++-aarch64-linux-gnu git maven openjdk-17-jdk-headless qemu-user-static \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/kit
COPY requirements.txt ./
# `cpu` is PyTorch's build without CUDA, which saves over 4 GB; `auto` is for a GPU, which
# training with --quantize qat can use. The hashes in the lock are of the build with CUDA, so
# the versions are taken from it and the hashes are not.
ARG TORCH=cpu
RUN sed -n -e '/^nvidia\|^cuda\|^triton/d' -e 's/^\([a-z].*==.*[^ ]\) *\\$/\1/p' requirements.txt >versions.txt \
    && pip install --quiet --no-cache-dir "$(grep '^uv==' versions.txt)"
COPY . .
RUN uv pip install --quiet --system --no-cache --torch-backend "$TORCH" \
        --constraints versions.txt '.[all]'

WORKDIR /work
ENTRYPOINT ["kit"]
CMD ["--help"]
