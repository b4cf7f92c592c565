# What a run needs, and no code of ours: each run clones the repository.
#   docker build --build-arg VARIANT=cpu --build-arg CPU_WHEELS=ADDRESS --tag ratchet:cpu .
#   docker build --build-arg VARIANT=cuda --tag ratchet:cuda .
FROM python:3.11-slim-bookworm
ARG VARIANT=cuda
ARG CPU_WHEELS

# git clones; the libraries are OpenCV's and torch's.
RUN apt-get update && apt-get install --yes --no-install-recommends git libgl1 libglib2.0-0 libgomp1 openssh-client \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/ratchet
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY flows flows
COPY tasks tasks
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# The usual wheels of torch bring CUDA; ADDRESS is PyTorch's own index of those without it, which have the same version.
RUN if [ "$VARIANT" = cpu ]; then \
        PIP_INDEX_URL="${CPU_WHEELS:?must be the address of wheels without CUDA}" pip install --constraint constraints.txt torch torchvision; \
    fi \
    && pip install --constraint constraints.txt '.[export,mlflow,ssh,s3]' \
    && pip uninstall --yes yolo-ratchet && rm -rf /opt/ratchet/*

# Any user id may run it, in group 0, as in OpenShift. The DVC cache is a volume at /cache.
RUN useradd --uid 1000 --gid 0 --create-home ratchet && mkdir /cache /etc/dvc && chmod -R g=u /home/ratchet /cache \
    && printf '[cache]\n    dir = /cache\n' > /etc/dvc/config
ENV DVC_SYSTEM_CONFIG_DIR=/etc/dvc HOME=/home/ratchet PYTHONUNBUFFERED=1
WORKDIR /home/ratchet
USER 1000
