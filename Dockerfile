# voiceid in a container: without torch, as a user without rights, the models inside, no network needed at run time.
#
#   docker build -t voiceid .
#   docker run --read-only --tmpfs /tmp -p 127.0.0.1:8443:8443 -v voiceid-data:/data -v voiceid-keys:/keys voiceid
#
# Never back the two volumes up together: whoever holds both can read what was recorded, and revive what was purged.

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/voiceid
COPY pyproject.toml constraints.txt README.md CHANGELOG.md LICENSE ./
COPY voiceid ./voiceid
COPY enrollment ./enrollment
RUN /opt/voiceid/bin/pip install --no-cache-dir --constraint constraints.txt '.[postgres]' \
    && /opt/voiceid/bin/pip uninstall --yes pip setuptools

FROM python:3.11-slim-bookworm
COPY --from=build /opt/voiceid /opt/voiceid
# libopus decodes twice as fast as what the wheels bring; the newest of the distribution, with its corrections.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends libopus0 && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 voiceid \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin voiceid \
    && install --directory --mode 0700 --owner 10001 --group 10001 /data /keys
ENV PATH=/opt/voiceid/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    VOICEID_DATA_DIR=/data \
    VOICEID_KEYS_DIR=/keys \
    VOICEID_HOST=0.0.0.0 \
    VOICEID_PORT=8443
WORKDIR /data
USER 10001:10001
VOLUME ["/data", "/keys"]
EXPOSE 8443
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['VOICEID_PORT']), timeout=4); c.request('GET', '/healthz'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["voiceid"]
# Plain HTTP leaves the container only where its port is published: the host's loopback, or a proxy that adds TLS.
CMD ["serve", "--unsafe-plain-http"]
