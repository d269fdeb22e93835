# The service alone, without the page, training and the data: docker build -t breakhis:1.3 .
#
# The torch of PyPI brings CUDA with it, several GB. PyTorch has an index with builds for CPUs of
# the same version; --build-arg PIP_EXTRA_INDEX_URL=ADDRESS lets pip take that from there.
FROM python:3.11-slim-bookworm AS build
ARG PIP_EXTRA_INDEX_URL
RUN python -m venv /opt/breakhis
ENV PATH=/opt/breakhis/bin:$PATH
WORKDIR /build
COPY requirements.txt .
RUN sed '/^# The page and the scripts/,$d' requirements.txt > serving.txt \
    && pip install --no-cache-dir -r serving.txt
COPY handler handler
COPY model_store model_store
COPY serve serve
RUN python -m serve.archive

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin breakhis
WORKDIR /breakhis
COPY --from=build /opt/breakhis /opt/breakhis
COPY --from=build /build/model_store/breakhis.mar model_store/
COPY handler handler
COPY serve serve
COPY bulk bulk
COPY breakhis.py breakhis.py
# All that is written lies in /tmp; the rest may be read-only.
ENV PATH=/opt/breakhis/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    BREAKHIS_RUN_DIR=/tmp/breakhis
USER 10001:10001
# Predictions and metrics. They are on loopback until BREAKHIS_OPEN_TO_NETWORK is true; who sets
# that guards them, as there is no token then.
EXPOSE 8080 8082
HEALTHCHECK --start-period=180s --interval=30s --timeout=15s CMD ["python", "-m", "breakhis", "health"]
CMD ["python", "-m", "breakhis", "start", "--foreground"]
