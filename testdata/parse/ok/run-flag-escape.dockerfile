FROM a
RUN --mount=a\ b\=c x
