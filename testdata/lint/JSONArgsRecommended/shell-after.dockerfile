FROM a
CMD x
SHELL ["/bin/bash", "-c"]
