# syntax=docker/dockerfile:1
# The service's image: the wheel of this checkout in a clean environment, run by nobody special.
FROM python:3.12-slim AS build
WORKDIR /source
COPY constraints.txt ./
RUN ["python", "-m", "venv", "/opt/driftline"]
RUN ["python", "-m", "pip", "install", "--no-cache-dir", "--constraint", "constraints.txt", "build", "hatchling"]
COPY pyproject.toml README.md LICENSE ./
COPY driftline driftline
COPY monitor monitor
COPY consumers consumers
COPY dashboard dashboard
COPY migrations migrations
RUN ["python", "-m", "build", "--wheel", "--no-isolation", "--outdir", "/wheels"]
RUN ["/opt/driftline/bin/python", "-m", "pip", "install", "--no-cache-dir", "--only-binary=:all:", \
     "--constraint", "constraints.txt", "--find-links", "/wheels", \
     "driftline[server,postgres,confluent]"]

FROM python:3.12-slim
# A number, so that "runs as non-root" can be checked without the image's list of users.
RUN ["useradd", "--uid", "10001", "--no-create-home", "--shell", "/usr/sbin/nologin", "driftline"]
COPY --from=build /opt/driftline /opt/driftline
ENV PATH=/opt/driftline/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /var/lib/driftline
RUN ["chown", "10001:10001", "/var/lib/driftline"]
USER 10001:10001
EXPOSE 8050
ENTRYPOINT ["driftline"]
CMD ["web"]
# Of `web`; the other roles' are in docker-compose.yml.
HEALTHCHECK --interval=10s --timeout=10s --start-period=30s --retries=3 \
    CMD ["driftline", "health", "web"]
