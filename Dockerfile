# The gateway as an image: no compiler, no root, one volume. `docker run --init -p 8402:8402 -v fmu:/data --env-file .env IMAGE`
FROM python:3.12-slim AS build
WORKDIR /app
COPY scripts/install scripts/
COPY requirements.lock ./
RUN ./scripts/install
COPY gateway gateway
COPY stripe_stub stripe_stub
# Whoever runs it cannot write here: compile now, or every start would.
RUN .venv/bin/python -m compileall -q gateway stripe_stub

FROM python:3.12-slim
RUN useradd --system --uid 10001 --user-group --home-dir /data --shell /usr/sbin/nologin gateway \
 && install -d -o gateway -g gateway -m 0700 /data
COPY --from=build /app /app
# Named, not guessed: without the volume the gateway would otherwise choose a file that is lost with the container.
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 FMU_GATEWAY_DB_PATH=/data/fmu_gateway.sqlite3
USER gateway
WORKDIR /data
VOLUME /data
EXPOSE 8402
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ.get('PORT', 8402)}/health\", timeout=4)"]
# SIGTERM lets runs in flight end and be stored: give it time (`docker stop -t 30`).
STOPSIGNAL SIGTERM
CMD ["fmu-gateway", "serve", "--host", "0.0.0.0"]
