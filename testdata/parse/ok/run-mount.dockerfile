FROM a
RUN --mount=type=cache,target=/c --mount=type=bind,src=.,dst=/s,ro make
