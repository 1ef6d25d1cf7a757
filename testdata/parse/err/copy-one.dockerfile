FROM a
COPY a
ADD --chown=x b
COPY ["a"]
ADD []
