FROM a
LABEL maintainer="me"
LABEL org.opencontainers.image.authors="me"
