# batchwrap serve in a container: docs/guides/operators.md says how it is run.
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY batchwrap ./batchwrap
RUN python -m venv /opt/batchwrap \
    && /opt/batchwrap/bin/python -m pip install --no-cache-dir ".[serve,redis,scripts]"

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /data --create-home batchwrap
COPY --from=build /opt/batchwrap /opt/batchwrap
ENV PATH=/opt/batchwrap/bin:$PATH \
    PYTHONUNBUFFERED=1
USER 10001
# A SQLite store given as sqlite:////data/budget.db survives the container if this is a volume.
WORKDIR /data
EXPOSE 4141
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:4141/healthz', timeout=4)"]
# Other machines reach it, so it needs BATCHWRAP_TOKEN. The arguments of `docker run` follow.
ENTRYPOINT ["batchwrap", "serve", "--host", "0.0.0.0"]
CMD ["--help"]
