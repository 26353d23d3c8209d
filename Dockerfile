# One image for every service of ours: a node, and a witness that stands alone. What runs is named by the command.
#   docker build -t tallystick .
#   docker run -v gym:/data tallystick init /data --host gym.example --url https://gym.example --bind 0.0.0.0:8000
FROM python:3.13-slim AS build
WORKDIR /source
COPY . .
# The pinned versions as constraints; their digests are for `make`, which installs from the lock alone.
RUN sed -nE 's/^([A-Za-z0-9._-]+==[^ ;]+).*/\1/p' requirements-dev.lock > /constraints.txt \
    && python -m venv /opt/tallystick \
    && /opt/tallystick/bin/pip install --no-cache-dir -c /constraints.txt "/source[node,postgres,s3,fast]"

FROM python:3.13-slim
RUN useradd --uid 10001 --user-group --no-create-home tally && install -d -o tally -g tally -m 700 /data
COPY --from=build /opt/tallystick /opt/tallystick
ENV PATH=/opt/tallystick/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER tally
VOLUME /data
EXPOSE 8000
# A node and a witness both say that they are up; whether a node can also be used is `/readyz`.
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["tally-node"]
