FROM a AS one
SHELL ["/bin/bash", "-c"]
CMD x
FROM one
ENTRYPOINT y
