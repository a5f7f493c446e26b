# The studio in a container.
#
#   docker build -t impasto .                               with the torch build of the default index
#   docker build -t impasto --build-arg DEVICE=cpu .        with the CPU build (or cuda); fails otherwise
#   docker run -p 7860:7860 -v impasto:/data -e IMPASTO_TOKEN=secret impasto
#
# pip uses the indexes that it is configured for. --build-arg TORCH_INDEX_URL=... sets the index for torch, and
# --secret id=pip_conf,src=pip.conf a whole pip.conf; neither is stored in the image.

FROM python:3.11-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python -m venv /opt/impasto
ENV PATH=/opt/impasto/bin:$PATH

# torch is large and rarely changes, so it has its own layer.
ARG DEVICE=any
ARG TORCH_INDEX_URL=""
COPY constraints.txt ./
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    case "$DEVICE" in any|cpu|cuda) ;; *) echo "DEVICE is '$DEVICE': choose any, cpu or cuda" >&2; exit 1;; esac \
    && if [ -n "$TORCH_INDEX_URL" ]; then export PIP_INDEX_URL="$TORCH_INDEX_URL"; fi \
    && pip install --no-cache-dir --constraint constraints.txt torch \
    && found="$(python -c 'import torch; print("cuda" if torch.version.cuda else "cpu")')" \
    && if [ "$DEVICE" != any ] && [ "$DEVICE" != "$found" ]; then \
         echo "this torch is built for $found, not $DEVICE: pass --build-arg TORCH_INDEX_URL=... or DEVICE=$found" >&2; \
         exit 1; \
       fi

COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    pip install --no-cache-dir --constraint constraints.txt '.[studio]'

FROM python:3.11-slim-bookworm

RUN useradd --uid 10001 --create-home --home-dir /data --shell /usr/sbin/nologin impasto
COPY --from=build /opt/impasto /opt/impasto
# The volume holds all data: images, history, downloaded weights, saved recipes.
ENV PATH=/opt/impasto/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/data
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 7860

# A response of 401 (no token) also means that the server is running.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client as h, sys; c = h.HTTPConnection('127.0.0.1', 7860, timeout=4); c.request('GET', '/api/v1/health'); sys.exit(c.getresponse().status not in (200, 401))"]

# SIGINT, like Ctrl-C, lets the workers requeue their jobs before the container stops.
STOPSIGNAL SIGINT

# The server listens on all addresses, so it requires a token: IMPASTO_TOKEN, or one that it generates and prints.
CMD ["impasto", "studio", "--host", "0.0.0.0", "--port", "7860", "--data", "/data/studio", "--no-browser"]
